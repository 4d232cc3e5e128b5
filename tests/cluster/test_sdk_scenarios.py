"""What users of the SDK do, with the unmodified SDK, in one sandbox with a volume that all scenarios share."""

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.sdk_scenarios import EXPECTED
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import model_url

TIMEOUT = 900


def kill_gateways(site: Site) -> None:
    """All of them, without a chance to say goodbye; gives the new ones time to come."""
    selector = "--selector=app.kubernetes.io/component=gateway"
    deleted = site.kubectl("delete", "pods", selector, "--grace-period=0", "--force", "--output=name").split()
    site.await_processes(deleted)


def await_pause(site: Site) -> None:
    """Until a sandbox is suspended, its pod gone."""

    def reasons() -> list[str]:
        sandboxes = site.kubectl("get", "ohsb", "--output", "json")["items"]
        return [condition["reason"] for one in sandboxes for condition in one["status"].get("conditions", [])]

    eventually(reasons, lambda seen: "Suspended" in seen)


DONE_FROM_OUTSIDE = {"kill the gateway": kill_gateways, "await the pause": await_pause}


@pytest.fixture(scope="module")
def outcomes(persistent: Site, images: Images, sdk: Path) -> dict[str, Any]:
    """What each scenario saw, or the error that it ended with."""
    outcomes: dict[str, Any] = {}
    command = [str(sdk), "-m", "cluster.sdk_scenarios", persistent.url, images.agent_server]
    environment = persistent.sdk_environment()
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [*command, model_url(persistent.release.namespace)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        for text in process.stdout:
            line = json.loads(text)
            if "ask" in line:
                DONE_FROM_OUTSIDE[line["ask"]](persistent)
                print("done", file=process.stdin, flush=True)
            else:
                outcomes[line["scenario"]] = line.get("result", line.get("error"))
        watchdog.cancel()
        log.seek(0)
        assert process.wait() == 0, log.read()[-4000:]
    return outcomes


@pytest.mark.parametrize("scenario", EXPECTED)
def test_scenario(outcomes: dict[str, Any], scenario: str) -> None:
    assert outcomes[scenario] == EXPECTED[scenario]


def test_each_scenario_is_looked_at(outcomes: dict[str, Any]) -> None:
    assert set(outcomes) == set(EXPECTED)
