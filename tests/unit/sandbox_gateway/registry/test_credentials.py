"""Which credentials of a pull Secret are for an image."""

import base64
import json
from typing import Any

import pytest

from sandbox_crds.image_references import Reference
from sandbox_gateway.registry.credentials import Credentials, matching

LOGIN = {"username": "me", "password": "secret"}


def found(auths: Any, image: str) -> list[str]:
    return [credentials.user for credentials in matching(json.dumps({"auths": auths}).encode(), Reference.parse(image))]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("registry.example", "registry.example/a/b:1"),
        ("https://registry.example", "registry.example/a"),
        ("https://registry.example/v2/", "registry.example/a"),
        ("registry.example:5000", "registry.example:5000/a"),
        ("*.example", "registry.example/a"),
        ("registry.example/a", "registry.example/a/b"),
        ("registry.example/a/b", "registry.example/a/b"),
        ("https://index.docker.io/v1/", "python"),
        ("docker.io", "docker.io/library/python"),
    ],
)
def test_an_entry_for_the_image(name: str, image: str) -> None:
    assert found({name: LOGIN}, image) == ["me"]


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("registry.example", "registry.example:5000/a"),
        ("registry.example:5000", "registry.example/a"),
        ("example", "registry.example/a"),
        ("*", "registry.example/a"),
        ("*.example", "a.b.example/a"),
        ("registry.example/a", "registry.example/ab"),
        ("registry.example/v2x", "registry.example/a"),
        ("", "python"),
        ("no host", "python"),
        ("registry.example.evil", "registry.example/a"),
    ],
)
def test_an_entry_for_others(name: str, image: str) -> None:
    assert found({name: LOGIN}, image) == []


def test_the_longest_path_comes_first() -> None:
    auths = {"r.example": {"username": "all", "password": "p"}, "r.example/a": {"username": "a", "password": "p"}}
    assert found(auths, "r.example/a/b") == ["a", "all"]


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"[]",
        b"{}",
        b'{"auths": {"r.example": {"username": "\\ud800", "password": "p"}}}',
        b'{"auths": []}',
        b'{"auths": {"r.example": 5}}',
        b'{"auths": {"r.example": {}}}',
        b"\xff",
    ],
)
def test_what_holds_none(config: bytes) -> None:
    assert matching(config, Reference.parse("r.example/a")) == []


@pytest.mark.parametrize(
    "auth", ["not base64!", "\u00e9", base64.b64encode(b"\xff").decode(), base64.b64encode(b"x").decode()]
)
def test_what_is_no_login(auth: str) -> None:
    assert found({"r.example": {"auth": auth}}, "r.example/a") == []


def test_a_password_may_have_a_colon_and_is_not_shown() -> None:
    auth = base64.b64encode(b"me:pass:word").decode()
    config = json.dumps({"auths": {"r.example": {"auth": auth}}}).encode()
    [credentials] = matching(config, Reference.parse("r.example/a"))
    assert credentials == Credentials("me", "pass:word")
    assert "pass:word" not in repr(credentials)
