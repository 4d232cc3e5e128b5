"""The chart's bill of material, against what Helm renders."""

from typing import cast

from supply_chain import chart
from unit.helm.rendering import CHART, Manifest, pod_templates


def _images(manifests: list[Manifest]) -> set[str]:
    """Images of all pods, and those that pods are told of."""
    containers = [container for pod in pod_templates(manifests).values() for container in pod["spec"]["containers"]]
    named = {cast("str", container["image"]) for container in containers}
    told = {word for container in containers for word in container["command"] if word.startswith("--image=")}
    return named | {word.removeprefix("--image=") for word in told}


def test_it_has_the_images_that_helm_renders(defaults: list[Manifest]) -> None:
    assert set(chart.read(CHART).images) == _images(defaults)


def test_it_has_the_name_and_version_that_helm_renders(defaults: list[Manifest]) -> None:
    read = chart.read(CHART)
    assert {item["metadata"]["labels"]["helm.sh/chart"] for item in defaults} == {f"{read.name}-{read.version}"}
