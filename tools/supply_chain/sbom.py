"""Bills of material in CycloneDX 1.6. The same parts give the same bytes, so a document has no time."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from supply_chain.chart import Chart, Crd
from supply_chain.image_contents import Contents, DebianPackage
from supply_chain.locks import Pin

type Document = dict[str, Any]

PROJECT = "openhands-sandbox"
_NAMESPACE = uuid.UUID("9e0d1c0b-52a8-5d5a-b4bd-5e5ba1f1d0c4")
"""The namespace of the serial numbers; any UUID that only this project uses for that."""


def of_image(name: str, version: str, pins: Iterable[Pin], contents: Contents | None) -> Document:
    """Of an image whose Python distributions are locked by `pins`; without its `contents`, of those alone.

    Raises ValueError when the image has other distributions than its lock file.
    """
    locked = [pin for pin in pins if pin.in_images]
    root = _component("container", PackageURL("oci", name=name, qualifiers={"tag": version}), name, version)
    components = [_python(pin) for pin in locked]
    if contents is not None:
        _check(contents, locked, {PROJECT})
        root["properties"] = [{"name": "image-id", "value": contents.image_id}]
        names = {pin.name for pin in locked}
        components += [_python(Pin(*distribution)) for distribution in contents.python if distribution[0] not in names]
        components.append(_component("operating-system", None, contents.os_name, contents.os_version))
        components += [_debian(package, contents) for package in contents.debian]
    references = {part["name"]: part["bom-ref"] for part in components if part["bom-ref"].startswith("pkg:pypi/")}
    edges = {
        reference: sorted(references[pin.name] for pin in locked if part in pin.required_by)
        for part, reference in references.items()
    }
    inner = {reference for below in edges.values() for reference in below}
    edges[root["bom-ref"]] = sorted(part["bom-ref"] for part in components if part["bom-ref"] not in inner)
    return _document(root, components, edges, "pre-build" if contents is None else "post-build")


def of_chart(chart: Chart) -> Document:
    """Of the chart: the images that it refers to, and its CustomResourceDefinitions."""
    root = _component(
        "application", PackageURL("helm", name=chart.name, version=chart.version), chart.name, chart.version
    )
    components = [_image(reference) for reference in chart.images] + [_crd(crd) for crd in chart.crds]
    return _document(root, components, {root["bom-ref"]: sorted(part["bom-ref"] for part in components)}, "pre-build")


def text_of(document: Document) -> str:
    """The document as JSON. Raises ValueError when it violates the schema of CycloneDX."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error is not None:
        raise ValueError(f"not CycloneDX 1.6: {str(error).partition(chr(10))[0]}")
    return text


def _document(root: Document, components: list[Document], edges: Mapping[str, Iterable[str]], phase: str) -> Document:
    content = {
        "metadata": {"lifecycles": [{"phase": phase}], "component": root},
        "components": sorted(components, key=lambda part: part["bom-ref"]),
        "dependencies": [{"ref": part, "dependsOn": list(below)} for part, below in sorted(edges.items())],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return head | content


def _component(type_: str, purl: PackageURL | None, name: str, version: str) -> Document:
    url = purl.to_string() if purl else ""
    return {"type": type_, "bom-ref": url or f"{name}@{version}", "name": name, "version": version} | (
        {"purl": url} if url else {}
    )


def _python(pin: Pin) -> Document:
    component = _component("library", PackageURL("pypi", name=pin.name, version=pin.version), pin.name, pin.version)
    if pin.hashes:
        hashes = [{"alg": "SHA-256", "content": content} for content in pin.hashes]
        comment = "The lock file allows these files of the release; the image has one of them."
        reference = {"type": "distribution", "url": component["purl"], "comment": comment, "hashes": hashes}
        component["externalReferences"] = [reference]
    return component


def _debian(package: DebianPackage, contents: Contents) -> Document:
    qualifiers = {"arch": package.architecture, "distro": f"{contents.os_name}-{contents.os_version}"}
    if package.source != package.name:
        qualifiers["upstream"] = package.source
    purl = PackageURL("deb", contents.os_name, package.name, package.version, qualifiers)
    return _component("library", purl, package.name, package.version)


def _image(reference: str) -> Document:
    repository, _, tag = reference.partition("@")[0].rpartition(":")
    digest = reference.partition("@")[2]
    name = repository.rpartition("/")[2]
    qualifiers = {"tag": tag} | ({"repository_url": repository} if "/" in repository else {})
    return _component("container", PackageURL("oci", None, name, digest or None, qualifiers), name, digest or tag)


def _crd(crd: Crd) -> Document:
    return {
        "type": "file",
        "bom-ref": f"crds/{crd.name}",
        "name": crd.name,
        "version": ",".join(crd.versions),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(crd.content).hexdigest()}],
    }


def _check(contents: Contents, locked: Iterable[Pin], own: set[str]) -> None:
    wanted = {(pin.name, pin.version) for pin in locked}
    found = {distribution for distribution in contents.python if distribution[0] not in own}
    if found != wanted:
        raise ValueError(
            f"the image has {sorted(found - wanted)} that its lock file has not, and lacks {sorted(wanted - found)}: "
            "build it from this checkout"
        )
