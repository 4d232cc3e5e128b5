"""Image references in all their forms."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds.image_references import PATTERN, Reference, registry_name

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "registry", "repository", "version"),
    [
        ("python", "docker.io", "library/python", "latest"),
        ("python:3.13-slim", "docker.io", "library/python", "3.13-slim"),
        ("nikolaik/python-nodejs", "docker.io", "nikolaik/python-nodejs", "latest"),
        ("docker.io/python", "docker.io", "library/python", "latest"),
        ("index.docker.io/a/b", "docker.io", "a/b", "latest"),
        ("ghcr.io/openhands/agent-server:1.58.2-python", "ghcr.io", "openhands/agent-server", "1.58.2-python"),
        ("GHCR.io/a/b", "ghcr.io", "a/b", "latest"),
        ("host:5000/a", "host:5000", "a", "latest"),
        ("host:5000", "docker.io", "library/host", "5000"),
        ("localhost/a:b", "localhost", "a", "b"),
        ("host/a", "docker.io", "host/a", "latest"),
        ("Host/a", "host", "a", "latest"),
        ("no.host_name/a", "no.host_name", "a", "latest"),
        ("10.0.0.1:443/a/b/c", "10.0.0.1:443", "a/b/c", "latest"),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest"),
        (f"a@{DIGEST}", "docker.io", "library/a", DIGEST),
        (f"r.test/a/b:tag@{DIGEST}", "r.test", "a/b", DIGEST),
    ],
)
def test_references(text: str, registry: str, repository: str, version: str) -> None:
    assert Reference.parse(text) == Reference(registry, repository, version)
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("index.docker.io/library/python:3", "docker.io/library/python:3"),
        (f"GHCR.io/a/b:tag@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
        ("host:5000/a", "host:5000/a:latest"),
    ],
)
def test_the_full_form_is_the_same_for_each_spelling(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full
    assert Reference.parse(full) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "UPPER", "a b", "a:", "a:-b", "a:b:c", ":a", "/a", "a/", "a//b", "a/../b", "a@sha256:00", "a@b"),
        *("https://ghcr.io/a", "user:pass@ghcr.io/a", "ghcr.io/a?x", "ghcr.io/a#x", "a\n", "a\0", "ghcr.io:port/a"),
        *("a:" + "t" * 129, f"a@{DIGEST}0", "ghcr.io/A", "a_-b", "-a", "ünï/a", "[x]/a"),
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Reference.parse(text)


@given(st.from_regex(PATTERN, fullmatch=True) | st.text(max_size=300))
def test_any_text_is_taken_apart_or_refused_as_the_pattern_says(text: str) -> None:
    matches = re.fullmatch(PATTERN.removesuffix("$"), text) is not None
    try:
        reference = Reference.parse(text)
    except ValueError:
        assert not matches
        return
    assert matches
    assert not set(reference.repository) & set("?#%\\@: ")
    assert ".." not in reference.repository.split("/")


@pytest.mark.parametrize(("text", "name"), [(" GHCR.io ", "ghcr.io"), ("index.docker.io", "docker.io")])
def test_names_of_registries_have_one_form(text: str, name: str) -> None:
    assert registry_name(text) == name


@pytest.mark.parametrize("text", ["", "https://ghcr.io", "ghcr.io/", "ghcr.io/a", "a b", "*.io", "user@ghcr.io"])
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(ValueError, match="without scheme and path"):
        registry_name(text)
