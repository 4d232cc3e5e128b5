"""Bills of material: valid, complete, and the same each time."""

import hashlib
import json
from typing import Any

import pytest

from local_cluster.paths import ROOT
from supply_chain import chart, locks, sbom
from supply_chain.image_contents import Contents, DebianPackage
from supply_chain.locks import Lock, Pin

HASHES = ("0" * 64, "1" * 64)
PINS = (
    Pin("a", "1", hashes=HASHES, required_by=("-r requirements.in",)),
    Pin("b", "2", hashes=HASHES[:1], required_by=("a", "c")),
    Pin("c", "3", hashes=HASHES[:1], required_by=("a",)),
    Pin("w", "4", 'sys_platform == "win32"', HASHES[:1], ("a",)),
)
BASH = DebianPackage("bash", "5.2+b1", "amd64", "bash")
ZLIB = DebianPackage("zlib1g", "1:1.3", "amd64", "zlib")


def contents(python: dict[str, str]) -> Contents:
    return Contents("sha256:c0ffee", "debian", "13", (BASH, ZLIB), tuple(python.items()))


def references(document: sbom.Document) -> set[str]:
    return {component["bom-ref"] for component in document["components"]}


def test_a_lock_gives_what_the_image_will_have() -> None:
    document = sbom.of_image("image", "1.0", PINS, None)
    assert references(document) == {"pkg:pypi/a@1", "pkg:pypi/b@2", "pkg:pypi/c@3"}
    assert document["metadata"]["lifecycles"] == [{"phase": "pre-build"}]
    (files,) = document["components"][0]["externalReferences"]
    assert [part["content"] for part in files["hashes"]] == list(HASHES)
    assert json.loads(sbom.text_of(document)) == document


def test_an_image_gives_what_it_has() -> None:
    document = sbom.of_image("image", "1.0", PINS, contents({"a": "1", "b": "2", "c": "3", "openhands-sandbox": "0.1"}))
    assert references(document) == {
        "pkg:pypi/a@1",
        "pkg:pypi/b@2",
        "pkg:pypi/c@3",
        "pkg:pypi/openhands-sandbox@0.1",
        "pkg:deb/debian/bash@5.2%2Bb1?arch=amd64&distro=debian-13",
        "pkg:deb/debian/zlib1g@1:1.3?arch=amd64&distro=debian-13&upstream=zlib",
        "debian@13",
    }
    assert document["metadata"]["lifecycles"] == [{"phase": "post-build"}]
    assert document["metadata"]["component"]["properties"] == [{"name": "image-id", "value": "sha256:c0ffee"}]
    sbom.text_of(document)


@pytest.mark.parametrize(
    "python",
    [
        pytest.param({"a": "1", "b": "2"}, id="one is missing"),
        pytest.param({"a": "1", "b": "2", "c": "3.1"}, id="another version"),
        pytest.param({"a": "1", "b": "2", "c": "3", "stowaway": "1"}, id="one too many"),
    ],
)
def test_an_image_that_is_not_as_its_lock_is_refused(python: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="build it from this checkout"):
        sbom.of_image("image", "1.0", PINS, contents(python))


def test_tells_who_needs_whom() -> None:
    document = sbom.of_image("image", "1.0", PINS, None)
    edges = {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}
    assert edges == {
        "pkg:oci/image?tag=1.0": ["pkg:pypi/a@1"],
        "pkg:pypi/a@1": ["pkg:pypi/b@2", "pkg:pypi/c@3"],
        "pkg:pypi/b@2": [],
        "pkg:pypi/c@3": ["pkg:pypi/b@2"],
    }


def test_order_changes_nothing_and_content_changes_the_serial_number() -> None:
    first = sbom.text_of(sbom.of_image("image", "1.0", PINS, None))
    assert sbom.text_of(sbom.of_image("image", "1.0", PINS[::-1], None)) == first
    other = sbom.of_image("image", "1.0", PINS[:1], None)
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


@pytest.mark.parametrize("lock", [Lock.CONTROLLER, Lock.AGENT_SERVER])
def test_has_every_pin_of_a_lock(lock: Lock) -> None:
    pins = locks.read(lock)
    document = json.loads(sbom.text_of(sbom.of_image("image", "1.0", pins, None)))
    assert references(document) == {f"pkg:pypi/{pin.name}@{pin.version}" for pin in pins}
    reached: set[str] = set()
    edges = {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}
    left = [document["metadata"]["component"]["bom-ref"]]
    while left:
        if (reference := left.pop()) not in reached:
            reached.add(reference)
            left += edges[reference]
    assert reached - {document["metadata"]["component"]["bom-ref"]} == references(document)


def test_the_chart_has_its_images_and_crds() -> None:
    document = json.loads(sbom.text_of(sbom.of_chart(chart.read(ROOT / "helm" / "openhands-sandbox"))))
    kinds: dict[str, list[dict[str, Any]]] = {"file": [], "container": []}
    for component in document["components"]:
        kinds[component["type"]].append(component)
    sums = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (ROOT / "crds").glob("*.yaml")}
    assert {component["hashes"][0]["content"] for component in kinds["file"]} == sums
    assert {component["name"] for component in kinds["container"]} == {"openhands-sandbox", "openhands-agent-server"}


def test_an_image_with_a_digest_is_named_by_it() -> None:
    image = f"registry.example.com:5000/team/a:1@sha256:{HASHES[0]}"
    (component,) = sbom.of_chart(chart.Chart("c", "1", (image,), ()))["components"]
    assert component["version"] == f"sha256:{HASHES[0]}"
    assert component["purl"].startswith(f"pkg:oci/a@sha256:{HASHES[0]}?repository_url=registry.example.com:5000/team/a")


def test_what_is_not_cyclonedx_is_not_written() -> None:
    document = sbom.of_image("image", "1.0", PINS, None)
    document["components"][0]["type"] = "thing"
    with pytest.raises(ValueError, match=r"not CycloneDX 1\.6: 'thing'"):
        sbom.text_of(document)
