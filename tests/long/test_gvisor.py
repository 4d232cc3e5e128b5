"""The conformance suite with sandboxes in gVisor."""

from pathlib import Path

from cluster.conforming import conform
from cluster.gvisor import with_class
from cluster.site import Site


def test_it_conforms_with_sandboxes_in_gvisor(persistent: Site, sdk: Path, tmp_path: Path) -> None:
    with with_class(persistent) as key:
        conform(persistent, key, sdk, tmp_path / "report.json")
