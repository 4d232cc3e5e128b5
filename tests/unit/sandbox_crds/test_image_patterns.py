"""Which texts are patterns of images, and what is refused with a remedy."""

import pytest
from pydantic import TypeAdapter, ValidationError

from sandbox_crds.image_patterns import ImagePattern, PatternText

DIGEST = "sha256:" + "0a" * 32

GOOD = [
    ("ghcr.io/openhands/*", "ghcr.io/openhands/", ""),
    ("ghcr.io/*", "ghcr.io/", ""),
    ("ghcr.io/openhands/agent-server", "ghcr.io/openhands/agent-server", ""),
    ("ghcr.io/openhands/agent-server:1.58.2-python", "ghcr.io/openhands/agent-server", ":1.58.2-python"),
    (f"ghcr.io/openhands/agent-server@{DIGEST}", "ghcr.io/openhands/agent-server", f"@{DIGEST}"),
    ("ghcr.io/openhands/*@sha256:*", "ghcr.io/openhands/", "@sha256:*"),
    ("ghcr.io/*:Stable", "ghcr.io/", ":Stable"),
    ("registry.example:5000/a/b__c/d.e-f", "registry.example:5000/a/b__c/d.e-f", ""),
    ("host:5000/*", "host:5000/", ""),
    ("localhost/a", "localhost/a", ""),
    ("10.0.0.1/a", "10.0.0.1/a", ""),
    ("docker.io/python", "docker.io/library/python", ""),
    ("docker.io/python@sha256:*", "docker.io/library/python", "@sha256:*"),
    ("docker.io/a/*", "docker.io/a/", ""),
    ("docker.io/*", "docker.io/", ""),
    ("index.docker.io/python:3", "docker.io/library/python", ":3"),
    ("index.docker.io/a/b", "docker.io/a/b", ""),
    ("index-docker.io/a", "index-docker.io/a", ""),
    ("docker-io.test/a", "docker-io.test/a", ""),
]

BAD = [
    *("", " ", "*", "*/*", "**", "/*", "python", "python:3.13", "openhands/*", "openhands/agent-server", "*.io/a"),
    *("ghcr.io", "ghcr.io/", "ghcr.io//a", "ghcr.io/a/", "ghcr.io/a//*", "ghcr.io/a/**", "ghcr.io/*/a", "ghcr.io/a*"),
    *("ghcr.io*", "ghcr.io/a/*b", "ghcr.io/a/b-*", "gh*.io/a", "GHCR.io/a", "ghcr.io/A", "ghcr.io/a/../b", "ghcr.io/."),
    *(
        "https://ghcr.io/a",
        "user@ghcr.io/a",
        "ghcr.io:/a",
        "ghcr.io:x/a",
        "ghcr.io:123456/a",
        ":5000/a",
        "[::1]:5000/a",
    ),
    *("ghcr.io/a:", "ghcr.io/a:*", "ghcr.io/a:1.*", "ghcr.io/a:-b", "ghcr.io/a:" + "t" * 129, f"ghcr.io/a:1@{DIGEST}"),
    *(
        "ghcr.io/a@",
        "ghcr.io/a@*",
        "ghcr.io/a@sha256",
        "ghcr.io/a@sha256:",
        "ghcr.io/a@sha256:00",
        f"ghcr.io/a@{DIGEST}0",
    ),
    *("ghcr.io/a@sha512:*", f"ghcr.io/a@{DIGEST.upper()}", "ghcr.io/a b", " ghcr.io/a", "ghcr.io/a\n", "ghcr.io/a\0"),
    *(
        "ghcr.i\u043e/a",
        "ghcr.io/\u0430",
        "ghcr.io/a,ghcr.io/b",
        'ghcr.io/a"',
        "ghcr.io./a",
        ".ghcr.io/a",
        "-ghcr.io/a",
    ),
    *("a_b.io/a", "ghcr.io/a_-b", "ghcr.io/-a", "ghcr.io/" + "a" * 505, "!ghcr.io/a", "ghcr.io/[a]", "ghcr.io/a?"),
]


@pytest.mark.parametrize(("text", "name", "version"), GOOD, ids=[text for text, _, _ in GOOD])
def test_a_pattern_is_taken_apart_and_docker_hub_has_one_name(text: str, name: str, version: str) -> None:
    assert ImagePattern.parse(text) == ImagePattern(name, version)


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_what_is_no_pattern_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is no pattern of images: write registry/repository in lower case"
    ) as refusal:
        ImagePattern.parse(text)
    assert str(refusal.value).isascii()
    assert len(str(refusal.value)) < 700
    with pytest.raises(ValidationError):
        TypeAdapter(PatternText).validate_python(text)
