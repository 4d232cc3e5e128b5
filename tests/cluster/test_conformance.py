"""The conformance suite against the gateway as the chart installs it."""

from pathlib import Path

from cluster.conforming import conform
from cluster.site import Site


def test_gateway_conforms(persistent: Site, sdk: Path, tmp_path: Path) -> None:
    conform(persistent, persistent.release.api_key(), sdk, tmp_path / "report.json")
