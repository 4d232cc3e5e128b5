"""What goes wrong has a name, and a remedy: in the condition, in the Runtime API and in its explanation.

All failures are injected at once, since each takes its time. The seconds from what Kubernetes first says to the
condition are printed: `pytest -s`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.injections import INJECTIONS, OWNER, class_body, sandbox_body, surrounded
from cluster.observing import observing
from cluster.other_images import foreign_archive
from cluster.site import Site
from cluster.support import NAMESPACE, eventually
from demo.local_target import LocalTarget
from demo.targets import Images
from failures.observer import Observer
from local_cluster.cluster import Cluster
from local_cluster.paths import State
from sandbox_common.reasons import MEANINGS
from sandbox_crds.names import unkeyed_runtime_id

FATAL_SECONDS = 60
"""The longest time for which these tests wait until a failure is given up."""


def session_of(case: str) -> str:
    return f"fails-{case}"


def name_of(case: str) -> str:
    return unkeyed_runtime_id(OWNER, session_of(case))


@pytest.fixture(scope="module")
def observer(site: Site, target: LocalTarget) -> Iterator[Observer]:
    with observing(Path(target.environment()["KUBECONFIG"]), NAMESPACE) as observer:
        yield observer


@pytest.fixture(scope="module")
def injected(site: Site, images: Images, observer: Observer) -> Iterator[Site]:
    """The release with a sandbox for each failure, all made at once."""
    Cluster(State.from_environment()).load_image(foreign_archive())
    items: list[dict[str, Any]] = []
    for case, injection in INJECTIONS.items():
        spec = {"image": images.agent_server, "className": case, **injection.sandbox}
        items += [class_body(case, injection.class_), sandbox_body(session_of(case), spec)]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    with surrounded(site):
        site.kubectl("apply", "--filename", "-", body=body)
        yield site
        site.kubectl("delete", "--filename", "-", body=body)


def condition(site: Site, name: str) -> dict[str, str]:
    """The condition `Ready`."""
    conditions = site.kubectl("get", "ohsb", name, "--output", "json").get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == "Ready"), {"reason": "", "message": ""})


@pytest.mark.parametrize("case", INJECTIONS)
def test_each_failure_has_its_name_and_remedy(injected: Site, observer: Observer, case: str) -> None:
    injection, name = INJECTIONS[case], name_of(case)
    remedy = injection.remedy or MEANINGS[injection.reason].remedy
    told = eventually(
        lambda: condition(injected, name),
        lambda seen: seen["reason"] == injection.reason and all(word in seen["message"] for word in injection.words),
        injection.patience,
    )
    cause = told["message"].removesuffix(f" Remedy: {remedy}")
    assert cause != told["message"]

    seen = injected.gateway.get(f"/sessions/{session_of(case)}").json()
    assert seen["status"] == ("error" if seen["pod_status"] == "failed" else "starting")
    assert seen["pod_status"] in {"pending", "failed"}
    for word in (injection.reason, *injection.words):
        assert word in seen["pod_logs"]
    [event] = seen["events"]
    assert (event["type"], event["reason"]) == ("Warning", injection.reason)
    assert [status["reason"] for status in seen["container_statuses"]] in ([], [injection.reason])

    # Whoever is told of a sandbox has its key settled, which is a change of the spec that the operator looks at first.
    why = eventually(
        lambda: injected.gateway.get(f"/explain/{name}").json(), lambda why: why["reason"] == injection.reason
    )
    assert why["remedy"] == remedy
    for word in injection.words:
        assert any(word in text for text in (why["cause"], *(entry["text"] for entry in why["evidence"])))
    assert any(entry["source"] == "condition" for entry in why["evidence"])
    assert cause

    observer.say_delay(case, name, injection.reason, injection.resource, injection.known)


FINAL = [case for case, injection in INJECTIONS.items() if MEANINGS[injection.reason].lifecycle == "error"]


@pytest.mark.parametrize("case", FINAL)
def test_what_does_not_pass_is_told_as_failed(injected: Site, case: str) -> None:
    seen = eventually(
        lambda: injected.gateway.get(f"/sessions/{session_of(case)}").json(),
        lambda seen: seen["pod_status"] == "failed",
        2 * FATAL_SECONDS,
    )
    assert seen["status"] == "error"
    assert INJECTIONS[case].reason in seen["pod_logs"]
