"""The search for leaked secrets finds one wherever and however it is planted."""

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.needles import MARK, Needles, entries, tokens
from sandbox_common.keys import MasterKeys

KEYS = MasterKeys.of({1: b"0123456789abcdef" * 2})
SESSION_KEY = KEYS.session_key(KEYS.key_id("uid"))
API_KEY = "Zm9v+YmFy/cXV4=0123456789ab"
NEEDLES = Needles({"session": SESSION_KEY, "api": API_KEY})

PLACES = {
    "alone": "{}",
    "query": "GET /sockets/x?session_api_key={}&after=1 HTTP/1.1",
    "cookie": "Cookie: a=b; oh_workspace_session_key={}; c=d",
    "json": '{{"headers": {{"X-Session-API-Key": "{}"}}}}',
    "escaped": 'said \\"{}\\"\\n',
    "within a word": "xxxxxxxxxxxxxxxxxxxxx{}yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    "traceback": "  File \"a.py\", line 3, in f\n    key = '{}'\nValueError: bad",
}


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in a URL": lambda key: quote(key, safe=""),
    "in a form": lambda key: quote_plus(key, safe=""),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64url": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "basic": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "base64 of more": lambda key: base64.b64encode(f"a:{key} and more".encode()).decode(),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize(("label", "key"), [("session", SESSION_KEY), ("api", API_KEY)])
def test_a_planted_key_is_found(place: str, encode: Callable[[str], str], label: str, key: str) -> None:
    assert NEEDLES.find(tokens(place.format(encode(key)))) == {label}


def test_the_mac_alone_is_found() -> None:
    assert NEEDLES.find(tokens(f"mac={SESSION_KEY[-43:]}")) == {"session"}


@given(st.binary(max_size=5), st.binary(max_size=5))
def test_base64_is_found_whatever_is_around_it(before: bytes, after: bytes) -> None:
    text = base64.b64encode(before + SESSION_KEY.encode() + after).decode()
    assert NEEDLES.find(tokens(text)) == {"session"}


@pytest.mark.parametrize(
    "text", ["", SESSION_KEY[:33], SESSION_KEY[:-1], API_KEY[:-1], API_KEY.lower(), KEYS.session_key(KEYS.key_id("x"))]
)
def test_what_is_no_whole_key_is_not_found(text: str) -> None:
    assert NEEDLES.find(tokens(text)) == set()


def secret(name: str, data: dict[str, str], **more: str) -> dict[str, Any]:
    encoded = {entry: base64.b64encode(value.encode()).decode() for entry, value in data.items()}
    return {"metadata": {"name": name, "namespace": "n"}, "data": encoded, **more}


def test_every_entry_of_a_secret_is_one_but_for_what_is_known_to_be_none() -> None:
    key = "k" * 20
    assert entries(secret("s", {"api-key": key, "sha256": key, "tls.crt": key, "new": key, "short": "abc"})) == {
        "n/s:api-key": key,
        "n/s:new": key,
    }
    assert entries(secret("s", {"release": key}, type="helm.sh/release.v1")) == {}
    assert entries({"metadata": {"name": "s", "namespace": "n"}}) == {}


def test_of_an_environment_the_marked_values_are_secret() -> None:
    data = {"PATH": "/usr/local/bin:/usr/bin", "TOKEN": f"{MARK}1"}
    assert entries(secret("sb-a-env", data)) == {"n/sb-a-env:TOKEN": f"{MARK}1"}
    keys = {"OH_SECRET_KEY": "k" * 43, "OH_SESSION_API_KEYS_0": SESSION_KEY}
    assert entries(secret("pool-a", {**data, **keys})) == {
        "n/pool-a:TOKEN": f"{MARK}1",
        "n/pool-a:OH_SECRET_KEY": "k" * 43,
        "n/pool-a:OH_SESSION_API_KEYS_0": SESSION_KEY,
    }


def test_of_a_private_key_every_line_is_found() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", "A" * 64, "B" * 40, "-----END PRIVATE KEY-----"]
    needles = Needles({"tls": "\n".join(lines)})
    assert needles.find(tokens(f"x {lines[2]} y")) == {"tls"}
