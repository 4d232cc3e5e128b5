"""The chart as installed: its own test, and what the processes may do."""

import json
from collections.abc import Iterator
from typing import Any

from demo.local_target import LocalTarget
from demo.release import NAME, Release
from local_cluster.paths import State


def audit_lines() -> Iterator[dict[str, Any]]:
    with State.from_environment().audit_log.open() as lines:
        for line in lines:
            yield json.loads(line)


def test_helm_test_passes(target: LocalTarget, release: Release) -> None:
    target.helm("test", NAME, "--namespace", release.namespace, "--timeout", "5m", "--logs")


def test_nothing_that_the_processes_do_is_forbidden(release: Release) -> None:
    prefix = f"system:serviceaccount:{release.namespace}:"
    lines = [line for line in audit_lines() if line["user"]["username"].startswith(prefix)]
    assert lines, "the operator and the gateway did nothing at all"
    refused = {
        (line["verb"], line["objectRef"].get("resource")) for line in lines if line["responseStatus"]["code"] == 403
    }
    assert refused == set()


def test_no_key_is_in_a_log(release: Release) -> None:
    secrets = json.loads(release.kubectl("get", "secrets", "--output", "json"))["items"]
    assert secrets
    api_key = release.api_key()
    for process in ("operator", "gateway"):
        log = release.kubectl("logs", f"deployment/{NAME}-{process}", "--all-pods", "--tail=-1")
        assert log
        assert api_key not in log
        assert "ohs_v1-" not in log, "a session key"
