"""Reading an API key's Secret."""

import base64
from typing import Any

import pytest

from sandbox_crds.keys import api_key_hash
from sandbox_gateway.api_keys import decode

DIGEST = api_key_hash("key")


def secret(**data: str) -> dict[str, Any]:
    return {"data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}}


def test_a_key() -> None:
    key = decode(secret(sha256=DIGEST, owner="team a"))
    assert (key.owner, key.sha256) == ("team a", DIGEST)
    assert DIGEST not in repr(key)


def test_case_and_white_space_around_do_not_matter() -> None:
    assert decode(secret(sha256=f" {DIGEST.upper()}\n", owner="a\n")).sha256 == DIGEST


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({}, "sha256"),
        ({"data": None}, "sha256"),
        (secret(owner="a"), "sha256"),
        (secret(sha256=DIGEST), "owner"),
        (secret(sha256="", owner="a"), "sha256"),
        (secret(sha256=DIGEST[:-1], owner="a"), "sha256"),
        (secret(sha256="the-key-itself", owner="a"), "sha256"),
        (secret(sha256=DIGEST, owner=" "), "owner"),
        (secret(sha256=DIGEST, owner="a\nb"), "owner"),
        (secret(sha256=DIGEST, owner="a" * 254), "owner"),
        ({"data": {"sha256": "***", "owner": "YQ=="}}, "sha256"),
        ({"data": {"sha256": "/w==", "owner": "YQ=="}}, "sha256"),
    ],
)
def test_a_malformed_one_is_refused_without_its_values(item: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field) as refusal:
        decode(item)
    assert "the-key-itself" not in str(refusal.value)
