"""The plugin's manifest for krew."""

from krew_package.manifest import PLATFORMS, manifest


def test_a_platform_has_its_archive_and_digest() -> None:
    linux = PLATFORMS[0]
    found = manifest("1.2.3", "https://example.com/releases/", "3.12, 3.13", {linux: "ab" * 32})
    assert (found["metadata"]["name"], found["spec"]["version"]) == ("ohsb", "v1.2.3")
    assert found["spec"]["platforms"] == [
        {
            "selector": {"matchLabels": {"os": "linux", "arch": "amd64"}},
            "uri": "https://example.com/releases/kubectl-ohsb-linux-amd64.tar.gz",
            "sha256": "ab" * 32,
            "bin": "kubectl-ohsb",
        }
    ]
    assert "Python 3.12, 3.13" in found["spec"]["caveats"]


def test_krew_takes_short_descriptions() -> None:
    """krew's own rules for its index: at most 50 characters, no full stop."""
    short = manifest("1", "", "", {})["spec"]["shortDescription"]
    assert len(short) <= 50
    assert not short.endswith(".")
