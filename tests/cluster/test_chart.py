"""The chart as installed: its own test."""

from demo.local_target import LocalTarget
from demo.release import NAME, Release


def test_helm_test_passes(target: LocalTarget, release: Release) -> None:
    target.helm("test", NAME, "--namespace", release.namespace, "--timeout", "5m", "--logs")
