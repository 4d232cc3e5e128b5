"""Which images a list of patterns allows; tests/control_plane/helm tries the same table on the real API server."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox_crds.image_patterns import ImagePattern
from sandbox_gateway.registry.allowed import is_allowed
from unit.sandbox_gateway.registry.images_and_patterns import CASES, DIGEST, PATTERNS, mutation


def allowed(image: str, *patterns: str) -> bool:
    try:
        return is_allowed(image, patterns)
    except ValueError:
        return False


@pytest.mark.parametrize(("image", "expected"), CASES.items(), ids=[ascii(image)[:80] for image in CASES])
def test_the_table(image: str, expected: bool) -> None:
    assert allowed(image, *PATTERNS) is expected


@pytest.mark.parametrize("image", ["sha256:12ab", "sha512:latest", "GHCR.io/openhands/a", "Host/a", "a b", "ghcr.io/A"])
def test_it_is_said_why_no_pattern_can_match(image: str) -> None:
    with pytest.raises(ValueError, match=r"is the id of|upper-case letters|is no image reference"):
        is_allowed(image, PATTERNS)


def test_an_empty_list_allows_nothing() -> None:
    assert not is_allowed("ghcr.io/a", ())


IMAGES = st.builds(mutation, st.integers(0, 2**32))
"""Images of the table, and texts that are like them but for a few characters."""


@given(IMAGES | st.text(st.sampled_from(string.printable), max_size=80))
@example(f"ghcr.io/openhands/x@{DIGEST}")
def test_what_is_allowed_begins_with_the_registry_and_path_that_the_pattern_names(image: str) -> None:
    if allowed(image, "ghcr.io/openhands/*"):
        assert image.startswith("ghcr.io/openhands/")
        assert re.fullmatch(
            r"[a-z0-9._/-]+", image.removeprefix("ghcr.io/openhands/").partition("@")[0].partition(":")[0]
        )
        assert not {"", ".", ".."} & set(image.split("/"))
    if allowed(image, "docker.io/team/*"):
        assert re.match(r"((index\.)?docker\.io/)?team/[a-z0-9]", image)


@given(IMAGES)
def test_a_tag_is_allowed_only_where_no_digest_says_otherwise(image: str) -> None:
    for tag in ("1", "latest"):
        if allowed(image, f"ghcr.io/openhands/agent-server:{tag}"):
            assert image in {f"ghcr.io/openhands/agent-server:{tag}"} | (
                {"ghcr.io/openhands/agent-server"} if tag == "latest" else set()
            )


@given(IMAGES)
def test_only_by_digest_means_a_whole_digest(image: str) -> None:
    if allowed(image, "ghcr.io/*@sha256:*", "docker.io/*@sha256:*"):
        assert re.search(r"@sha256:[0-9a-f]{64}\Z", image)
    if allowed(image, f"ghcr.io/openhands/agent-server@{DIGEST}"):
        assert image.endswith(f"@{DIGEST}")


@given(IMAGES, st.sampled_from([*PATTERNS, "docker.io/*"]))
def test_all_spellings_of_an_image_on_docker_hub_are_one(image: str, pattern: str) -> None:
    if "/" not in image:
        spellings = {f"{host}{image}" for host in ("docker.io/", "index.docker.io/", "docker.io/library/")}
        if not image.startswith("sha"):
            assert {allowed(spelling, pattern) for spelling in spellings} == {allowed(image, pattern)}


@given(IMAGES, st.sampled_from(PATTERNS), st.sampled_from(PATTERNS))
def test_a_list_allows_what_any_of_its_patterns_does(image: str, one: str, other: str) -> None:
    assert allowed(image, one, other) is (allowed(image, one) or allowed(image, other))


@given(st.sampled_from(PATTERNS), st.text(st.sampled_from(string.ascii_lowercase), min_size=1, max_size=8))
def test_every_pattern_matches_something(pattern: str, word: str) -> None:
    parsed = ImagePattern.parse(pattern)
    name = parsed.name + (word if parsed.name.endswith("/") else "")
    assert allowed(name + parsed.version.replace("*", "ab" * 32), pattern)
