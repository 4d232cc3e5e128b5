"""The CRD files are those of the models."""

import pytest
import yaml

from local_cluster.paths import ROOT
from sandbox_crds.manifests import manifests, structural


@pytest.mark.parametrize("directory", ["crds", "helm/openhands-sandbox/crds"])
@pytest.mark.parametrize("name", sorted(manifests()))
def test_generated_files_are_fresh(directory: str, name: str) -> None:
    assert (ROOT / directory / name).read_text() == manifests()[name], "stale: run `make generate`"


def test_every_field_of_the_spec_is_described() -> None:
    spec = yaml.safe_load(manifests()["sandboxes.yaml"])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    undescribed = {name for name, part in spec["properties"]["spec"]["properties"].items() if "description" not in part}
    assert not undescribed


def test_the_sandbox_schema_stays_small() -> None:
    # Each write of a Sandbox pays for its size.
    assert len(manifests()["sandboxes.yaml"]) < 18_000


def test_structural_inlines_references_and_drops_null() -> None:
    definitions = {"Part": {"type": "object", "title": "Part", "properties": {"x": {"type": "string", "title": "X"}}}}
    schema = {"anyOf": [{"$ref": "#/$defs/Part"}, {"type": "null"}], "default": None, "description": "d"}
    expected = {"type": "object", "description": "d", "properties": {"x": {"type": "string"}}}
    assert structural(schema, definitions) == expected
