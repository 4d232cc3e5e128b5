"""The chart as installed: its own test, its notes, and what its images run."""

import re
import shlex

from demo.local_target import LocalTarget
from demo.release import NAME, Release


def test_helm_test_measures_a_cold_and_a_warm_start(target: LocalTarget, release: Release) -> None:
    output = target.helm("test", NAME, "--namespace", release.namespace, "--timeout", "5m", "--logs")
    told = re.findall(
        r"^  (Cold|Warm) +\d+\.\d\d s \(one start\); slowest step: \w+, \d+\.\d\d s$", output, re.MULTILINE
    )
    assert told == ["Cold", "Warm"], output
    pools = target.kubectl("get", "ohsp", "--namespace", release.namespace, "--output", "name")
    assert f"{NAME}-test" not in pools, "it exists during the test only"


def test_the_notes_tell_how_to_see_that_policies_are_enforced(target: LocalTarget, release: Release) -> None:
    notes = target.helm("get", "notes", NAME, "--namespace", release.namespace)
    [command] = [line for line in notes.splitlines() if "connect_ex(" in line]
    kubectl, *arguments = shlex.split(command)
    assert kubectl == "kubectl"
    assert target.kubectl(*arguments).strip() == "enforced"


def test_the_gateway_runs_compiled(target: LocalTarget, release: Release) -> None:
    program = "import sandbox_gateway.proxy.client as module; print(module.__file__)"
    gateway = ("exec", "--namespace", release.namespace, f"deployment/{NAME}-gateway")
    assert target.kubectl(*gateway, "--", "python", "-c", program).strip().endswith(".so")
