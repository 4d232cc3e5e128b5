"""What the Helm chart installs with its default values: images, and CustomResourceDefinitions."""

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Crd:
    """A CustomResourceDefinition: its name, the versions it serves, and the bytes of its file."""

    name: str
    versions: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart. `images` are its references with a tag; values may replace them."""

    name: str
    version: str
    images: tuple[str, ...]
    crds: tuple[Crd, ...]


def read(directory: Path) -> Chart:
    """Read a chart's files. Raises KeyError when it is not this project's."""
    chart = yaml.safe_load((directory / "Chart.yaml").read_text())
    values = yaml.safe_load((directory / "values.yaml").read_text())
    image = f"{values['image']['repository']}:{values['image']['tag'] or chart['appVersion']}"
    crds = tuple(_crd(path) for path in sorted((directory / "crds").iterdir()))
    return Chart(chart["name"], chart["version"], tuple(sorted({image, values["test"]["agentServerImage"]})), crds)


def _crd(path: Path) -> Crd:
    content = path.read_bytes()
    crd = yaml.safe_load(content)
    return Crd(crd["metadata"]["name"], tuple(version["name"] for version in crd["spec"]["versions"]), content)
