"""Agent servers that wait for their environment: initialized before they are called ready, or thrown away."""

from dataclasses import replace

import pytest

from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.running import INIT_INTERVAL
from sandbox_operator.sandboxes.world import Plan, World
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import KEYS, LATER, NOW, SOON, class_, container, ready, sandbox, status

CLASS = class_()
KEY_ID = KEYS.key_id("pool-a")
DONE = Initialization()
FAILED = Initialization("/api/init answers 500")


def claimed(restarts: int = 0) -> Pod:
    warm = {"name": "pool-a", "pool": "pool", "deferred": True, "claimed": SOON, "key_id": KEY_ID, "sandbox": "one"}
    run = container(ready=True, restarts=restarts, waiting_reason="", running_since=NOW)
    return replace(ready(**warm), container=run)


TOLD = sandbox(status=status(Reason.READY, pod_name="pool-a", key_id=KEY_ID, launch="Warm", pool="pool"))


def decide(
    sandbox: Sandbox, pod: Pod, initialization: Initialization | None, known: SandboxClass | None = CLASS
) -> Plan:
    return plan(World(sandbox, known, pod, SOON, initialization=initialization), KEYS)


def reason(made: Plan) -> str:
    return made.status["conditions"][0]["reason"] if made.status else ""


def test_it_is_initialized_and_nothing_is_told() -> None:
    made = decide(sandbox(), claimed(), None)
    assert made.initialize == (claimed(), CLASS)
    assert made.status is None
    assert made.delete is None


def test_then_it_is_ready() -> None:
    made = decide(sandbox(), claimed(), DONE)
    assert reason(made) == Reason.READY
    assert made.initialize is None


def test_it_is_told_when_it_lasts() -> None:
    made = plan(World(sandbox(), CLASS, claimed(), LATER), KEYS)
    assert reason(made) == Reason.STARTING
    assert made.initialize == (claimed(), CLASS)


def test_a_failure_ends_the_pod() -> None:
    made = decide(sandbox(), claimed(), FAILED)
    assert (made.delete, made.unfit) == (claimed(), FAILED.failure)
    assert reason(made) == Reason.POD_TERMINATING
    assert made.status
    assert FAILED.failure in made.status["conditions"][0]["message"]


def test_a_restarted_one_that_was_used_is_not_ended_but_tried_again() -> None:
    pod, failed = claimed(restarts=1), replace(FAILED, ended=SOON)
    made = decide(TOLD, pod, failed)
    assert (made.delete, made.initialize, made.requeue_at) == (None, None, SOON + INIT_INTERVAL)
    assert reason(made) == Reason.STARTING
    assert made.status
    assert FAILED.failure in made.status["conditions"][0]["message"]
    later = plan(World(TOLD, CLASS, pod, SOON + INIT_INTERVAL, initialization=failed), KEYS)
    assert (later.delete, later.initialize) == (None, (pod, CLASS))
    kept = replace(pod, volume_claim="pool-a")
    assert plan(World(TOLD, CLASS, kept, SOON, initialization=failed, taken=kept.uid), KEYS).delete == kept


def test_one_that_was_called_ready_is_left_alone() -> None:
    assert decide(TOLD, claimed(), None).initialize is None


def test_a_restarted_one_is_not_ready_until_it_is_initialized() -> None:
    made = decide(TOLD, claimed(restarts=1), None)
    assert made.initialize == (claimed(restarts=1), CLASS)
    assert reason(made) == Reason.STARTING
    assert decide(TOLD, claimed(restarts=1), DONE).initialize is None


@pytest.mark.parametrize("told", [sandbox(), TOLD])
def test_without_a_class_it_waits(told: Sandbox) -> None:
    made = decide(told, claimed(restarts=1), None, None)
    assert made.initialize is None
    assert made.delete is None
