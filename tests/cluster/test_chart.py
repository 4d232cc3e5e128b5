"""The chart as installed: its own test, and what the processes may do."""

import json

from demo.local_target import LocalTarget
from demo.release import NAME, Release
from local_cluster.paths import State


def test_helm_test_passes(target: LocalTarget, release: Release) -> None:
    target.helm("test", NAME, "--namespace", release.namespace, "--timeout", "5m", "--logs")


def test_nothing_that_the_processes_do_is_forbidden(release: Release) -> None:
    namespace = json.loads(release.kubectl("get", "namespace", release.namespace, "--output", "json"))
    made, prefix = namespace["metadata"]["creationTimestamp"], f"system:serviceaccount:{release.namespace}:"
    with State.from_environment().audit_log.open() as log:
        # An earlier release of this namespace may have been another version.
        requests = [line for text in log if prefix in text and (line := json.loads(text))["stageTimestamp"] >= made]
    assert requests, "the operator and the gateway did nothing at all"
    # Not every 403: one may be that of a quota.
    refused = {
        (request["verb"], request["objectRef"].get("resource"))
        for request in requests
        if request["annotations"]["authorization.k8s.io/decision"] == "forbid"
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
