"""Whole renderings against files that a person has looked at. `UPDATE_GOLDEN=1 pytest tests/unit/helm` renews them."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.helm.rendering import CHART, Helm, Manifest

GOLDEN = Path(__file__).parent / "golden"
VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
RANDOM_SECRETS = ("master-key", "naming-key", "api-key", "api-key-hash")


def stable(manifest: Manifest) -> Manifest:
    """Without what differs from run to run, and without what is a file of its own."""
    name = manifest["metadata"]["name"]
    if manifest["kind"] == "Secret" and name.endswith(RANDOM_SECRETS):
        return {**manifest, "data": dict.fromkeys(manifest["data"], "(masked)")}
    if manifest["kind"] == "ConfigMap":
        return {**manifest, "data": dict.fromkeys(manifest["data"], "(files/)")}
    if manifest["kind"] == "PrometheusRule":
        return {**manifest, "spec": "(files/)"}
    return manifest


@pytest.mark.parametrize("case", ["defaults", "everything"])
def test_the_rendering_is_the_golden_one(helm: Helm, case: str) -> None:
    source = GOLDEN / f"{case}.values.yaml"
    values: dict[str, Any] = yaml.safe_load(source.read_text()) if source.exists() else {}
    manifests = sorted(map(stable, helm.render(values)), key=lambda item: (item["kind"], item["metadata"]["name"]))
    text = yaml.safe_dump_all(manifests, sort_keys=True, width=120).replace(VERSION, "(version)")

    golden = GOLDEN / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
