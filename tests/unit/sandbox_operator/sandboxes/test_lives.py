"""Each step of a sandbox's life is counted once, by the operator whose write was accepted."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.errors import UNCERTAIN
from sandbox_common.losses import LossReason
from sandbox_common.reasons import MEANINGS, ExpiryReason, Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Loss, Sandbox, SandboxStatus
from sandbox_operator.leader.elector import NotLeadingError
from sandbox_operator.sandboxes.lives import FAILURES, Lives, Phase, Start, Steps, began, phase, reported_reason, steps
from sandbox_operator.sandboxes.lost_answers import Change
from unit.sandbox_operator.counted import counted
from unit.sandbox_operator.samples import LATER, NOW, SOON, UID, pod, podless, ready, sandbox, status, waits
from unit.sandbox_operator.scene import Scene, WarmScene, answering

LAG = "openhands_sandbox_operator_status_lag_seconds_sum"
LOSS = Loss(time=rfc3339(NOW), reason="Drained", podUID="p")


def resumed(reason: Reason) -> Sandbox:
    """A sandbox that is to run again; its suspension is still in the status."""
    return sandbox(status=podless(reason, first_ready_time=rfc3339(NOW)), generation=2)


def paused(of: SandboxStatus | None = None, reason: str = "", generation: int = 2) -> Sandbox:
    return sandbox(status=of, generation=generation, suspend=True, suspend_reason=reason)


NEW, STARTS, READY = sandbox(), sandbox(status=status(Reason.STARTING)), sandbox(status=status(Reason.READY))
READY_AGAIN = sandbox(status=status(Reason.READY, podUID="another", launch="Resume"))


def lost(error: Exception) -> Exception:
    """The failure of a call one of whose attempts may have succeeded, as KubeClient raises it."""
    if isinstance(error, ApiError):
        error.uncertain = True
    else:
        error.add_note(UNCERTAIN)
    return error


LOST_ANSWERS = [ApiError(409, "Conflict", ""), ApiError(504, "Timeout", ""), aiohttp.ServerDisconnectedError()]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (NEW, STARTS, Steps()),
        (NEW, READY, Steps(start="Ready")),
        (STARTS, READY, Steps(start="Ready")),
        (READY, READY, Steps()),
        (READY, sandbox(status=status(Reason.READY, restart_count=1)), Steps()),
        # Interruptions of a run, and their ends.
        (READY, sandbox(status=status(Reason.NODE_LOST)), Steps(failure="NodeLost")),
        (sandbox(status=status(Reason.NODE_LOST)), READY, Steps()),
        (
            sandbox(status=status(Reason.CONTAINER_RESTARTING, ready_time=rfc3339(SOON))),
            READY,
            Steps(),
        ),
        (sandbox(status=status(Reason.CONTAINER_RESTARTING)), READY, Steps(start="Ready")),
        # Another pod.
        (READY, READY_AGAIN, Steps(start="Ready")),
        (sandbox(status=status(Reason.NODE_LOST)), READY_AGAIN, Steps(start="Ready")),
        (READY, sandbox(status=status(Reason.EVICTED)), Steps(failure="Evicted")),
        (sandbox(status=status(Reason.EVICTED)), READY_AGAIN, Steps(start="Ready")),
        (
            READY,
            sandbox(status=status(Reason.POD_TERMINATING, last_loss=LOSS, lost_pods=1)),
            Steps(loss="Drained"),
        ),
        # Failures.
        (NEW, sandbox(status=podless(Reason.POD_REFUSED)), Steps(start="Failed", failure="PodRefused")),
        (STARTS, sandbox(status=status(Reason.IMAGE_PULL_BACK_OFF)), Steps(failure="ImagePullBackOff")),
        (sandbox(status=status(Reason.IMAGE_NOT_FOUND)), sandbox(status=status(Reason.IMAGE_NOT_FOUND)), Steps()),
        (
            sandbox(status=status(Reason.IMAGE_NOT_FOUND)),
            sandbox(status=status(Reason.IMAGE_PULL_DENIED)),
            Steps(failure="ImagePullDenied"),
        ),
        (NEW, sandbox(status=podless(Reason.QUEUED)), Steps()),
        (READY, sandbox(status=status(Reason.CRASH_LOOP_BACK_OFF)), Steps(failure="CrashLoopBackOff")),
        (STARTS, sandbox(status=status(Reason.TERMINATING), deleted=True), Steps()),
        # Suspensions.
        (paused(status(Reason.READY)), paused(status(Reason.SUSPENDING)), Steps()),
        (paused(status(Reason.SUSPENDING)), paused(podless(Reason.SUSPENDED)), Steps(suspension="Requested")),
        (paused(status(Reason.READY), "Idle"), paused(podless(Reason.IDLE), "Idle"), Steps(suspension="Idle")),
        (paused(), paused(podless(Reason.SUSPENDED)), Steps(suspension="Requested")),
        (paused(podless(Reason.IDLE), "Requested"), paused(podless(Reason.SUSPENDED), "Requested"), Steps()),
        (
            # It was resumed meanwhile.
            paused(podless(Reason.SUSPENDED), generation=3),
            paused(podless(Reason.SUSPENDED, observed_generation=3), generation=3),
            Steps(suspension="Requested"),
        ),
        (resumed(Reason.IDLE), sandbox(status=status(Reason.READY, launch="Resume")), Steps(start="Ready")),
        # The operator gives a start up.
        (resumed(Reason.SUSPENDED), paused(podless(Reason.SUSPENDED), "StartTimeout", 3), Steps(start="Failed")),
        (
            paused(podless(Reason.SUSPENDED), "StartTimeout"),
            paused(podless(Reason.START_TIMEOUT), "StartTimeout"),
            Steps(),
        ),
        (
            paused(status(Reason.STARTING), "StartTimeout"),
            paused(podless(Reason.START_TIMEOUT), "StartTimeout"),
            Steps(suspension="StartTimeout"),
        ),
        # Somebody else does.
        (STARTS, paused(status(Reason.STARTING)), Steps()),
    ],
)
def test_a_write_makes_these_steps(before: Sandbox, after: Sandbox, expected: Steps) -> None:
    assert steps(before, after) == expected


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_a_phase_and_a_failure_or_not(reason: Reason) -> None:
    of_reason = sandbox(status=podless(reason))
    assert reported_reason(of_reason) is reason
    assert phase(paused(podless(reason))) is Phase.SUSPENDED
    meaning = MEANINGS[reason]
    if reason is Reason.READY:
        assert phase(of_reason) is Phase.RUNNING
    else:
        assert (phase(of_reason) is Phase.FAILED) == (meaning.lifecycle == "error")
        assert phase(of_reason) is not Phase.RUNNING
    normal = meaning.lifecycle != "error" and not meaning.passing
    assert (reason in FAILURES) != (normal or reason in {Reason.QUEUED, Reason.TERMINATING})


@pytest.mark.parametrize("seen", [SOON, LATER])
@pytest.mark.parametrize(
    ("of", "first", "later"),
    [
        (sandbox(), SOON, NOW),
        (sandbox(status=status(Reason.STARTING)), SOON, NOW),
        (sandbox(status=status(Reason.STARTING, starting_since=rfc3339(NOW - timedelta(hours=1)))), None, None),
        (resumed(Reason.SUSPENDED), SOON, LATER),
        (sandbox(status=status(Reason.STARTING), generation=3), SOON, LATER),
    ],
)
def test_a_start_begins_when_it_is_seen_unless_the_api_has_an_earlier_time(
    of: Sandbox, first: Any, later: Any, seen: Any
) -> None:
    expected = first if seen is SOON else later
    assert began(of, seen) == (expected or NOW - timedelta(hours=1))


def test_a_time_that_is_none_does_no_harm() -> None:
    lives = Lives()
    absurd = sandbox(status=status(Reason.STARTING, startingSince="soon", startTime="later"))
    lives.sandbox_changed("one", absurd, LATER)
    assert lives.start(absurd) == Start(LATER)
    with counted() as found:
        lives.sandbox_changed("one", None, LATER)
        with lives.writing(absurd, Change("status", {}), lambda: LATER) as written:
            written(sandbox(status=status(Reason.READY, startTime="later")))
    assert found == {"start_seconds Restart Ready": 1}


def test_sandboxes_are_counted_by_reason() -> None:
    lives = Lives()
    lives.sandbox_changed("one", NEW, NOW)
    lives.sandbox_changed("two", STARTS, NOW)
    lives.sandbox_changed("one", READY, NOW)
    lives.sandbox_changed("three", READY, NOW)
    unknown = STARTS.status.model_copy(
        update={"conditions": [STARTS.status.conditions[0].model_copy(update={"reason": "Of a later version"})]}
    )
    lives.sandbox_changed("four", sandbox(status=unknown), NOW)
    assert [lives.count(reason) for reason in (Reason.PENDING, Reason.STARTING, Reason.READY)] == [1, 1, 2]
    for name in ("one", "two", "three", "four", "one"):
        lives.sandbox_changed(name, None, NOW)
    assert not any(lives.count(reason) for reason in Reason)


def test_only_the_leader_counts_deletions_by_others() -> None:
    lives = Lives()
    leads = False
    lives.leads = lambda: leads
    for leads in (False, True):
        lives.sandbox_changed("one", READY, NOW)
        with counted() as found:
            lives.sandbox_changed("one", None, NOW)
            lives.sandbox_changed("one", None, NOW)
        assert found == ({"deletions Requested": 1} if leads else {})


def test_a_sandbox_that_replaces_another_one_of_its_name_shows_a_deletion() -> None:
    lives = Lives()
    lives.leads = lambda: True
    lives.sandbox_changed("one", READY, NOW)
    other = NEW.model_copy(update={"metadata": NEW.metadata.model_copy(update={"uid": "another"})})
    with counted() as found:
        lives.sandbox_changed("one", other, LATER)
    assert found == {"deletions Requested": 1}
    assert lives.start(other) == Start(NOW)


@pytest.mark.parametrize("watch_is_first", [True, False])
@pytest.mark.parametrize("reason", ExpiryReason)
def test_a_deletion_by_the_operator_has_its_cause(reason: ExpiryReason, watch_is_first: bool) -> None:
    lives = Lives()
    lives.leads = lambda: True
    lives.sandbox_changed("one", STARTS, NOW)
    with counted() as found:
        with lives.expiring(STARTS, reason, LATER):
            if watch_is_first:
                lives.sandbox_changed("one", None, LATER)
        if not watch_is_first:
            lives.sandbox_changed("one", None, LATER)
    failed = {"start_seconds Cold Failed": 1} if reason is ExpiryReason.NEVER_READY else {}
    assert found == {f"deletions {reason}": 1} | failed


def test_a_deletion_that_is_refused_is_none() -> None:
    lives = Lives()
    lives.leads = lambda: True
    lives.sandbox_changed("one", READY, NOW)
    with counted() as found, pytest.raises(ApiError), lives.expiring(READY, ExpiryReason.MAXIMUM_LIFE, LATER):
        raise ApiError(409, "Conflict", "")
    assert found == {}
    with counted() as found:
        lives.sandbox_changed("one", None, LATER)
    assert found == {"deletions Requested": 1}


@pytest.mark.parametrize("error", LOST_ANSWERS)
def test_a_deletion_whose_answer_is_lost_keeps_its_cause(error: Exception) -> None:
    lives = Lives()
    lives.leads = lambda: True
    lives.sandbox_changed("one", STARTS, NOW)
    with counted() as found:
        with pytest.raises(type(error)), lives.expiring(STARTS, ExpiryReason.NEVER_READY, LATER):
            raise lost(error)
        lives.sandbox_changed("one", None, LATER)
    assert found == {"deletions NeverReady": 1, "start_seconds Cold Failed": 1}


def test_a_deletion_by_another_one_that_was_faster_counts_once() -> None:
    lives = Lives()
    lives.leads = lambda: True
    lives.sandbox_changed("one", STARTS, NOW)
    with counted() as found:
        lives.sandbox_changed("one", None, LATER)
        # The API server's 404 is as good as an answer.
        with lives.expiring(STARTS, ExpiryReason.NEVER_READY, LATER):
            pass
    assert found == {"deletions Requested": 1}


def test_a_late_event_of_a_deleted_sandbox_is_no_second_deletion(scene: Scene) -> None:
    """The operator learns of the deletion from a 404, before the watch shows the changes that came before it."""
    scene.lives.leads = lambda: True
    scene.add()
    with counted() as found:
        scene.edit(seen=False, suspend=True)
        scene.sandboxes.drop("one", UID)
        scene.sandboxes.put(scene.stored)
        scene.sandboxes.drop("one", UID)
    assert found == {"deletions Requested": 1}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def seconds(launch: str, result: str) -> float:
    """The sum of the durations of these starts."""
    labels = {"launch": launch, "result": result}
    return REGISTRY.get_sample_value("openhands_sandbox_operator_start_seconds_sum", labels) or 0


async def test_a_life(scene: Scene) -> None:
    scene.lives.leads = lambda: True
    before, lag = seconds("Cold", "Ready"), REGISTRY.get_sample_value(LAG) or 0
    with counted() as found:
        scene.add()
        await scene.step()
        scene.show()
        scene.now += timedelta(seconds=3)
        await scene.step()
        scene.show(answering)
        scene.now += timedelta(seconds=1)
        await scene.step()
        # Nothing new.
        await scene.step()
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}
    assert seconds("Cold", "Ready") - before == 4
    assert (REGISTRY.get_sample_value(LAG) or 0) - lag == 1
    with counted() as found:
        scene.edit(suspend=True, suspendReason="Idle")
        await scene.step()
        scene.end()
        await scene.step()
        scene.edit(suspend=False, suspendReason="")
        await scene.step()
        scene.show(answering)
        await scene.step()
    assert found == {"suspensions Idle": 1, "start_seconds Resume Ready": 1, "status_lag_seconds": 1}
    with counted() as found:
        scene.sandboxes.drop("one", UID)
        await scene.step()
    assert found == {"deletions Requested": 1}


async def test_a_warm_start() -> None:
    scene = WarmScene()
    await scene.stock_up("seat")
    with counted() as found:
        scene.add()
        await scene.step()
    # How long the pod has been ready does not matter.
    assert found == {"start_seconds Warm Ready": 1}


async def test_a_lost_pod_is_replaced(scene: Scene) -> None:
    await scene.start()
    scene.now = LATER
    with counted() as found:
        scene.show(lambda seen: replace(ready(uid=seen.uid), deletion_requested=LATER, deletion_due=LATER))
        await scene.step()
        scene.lose()
        scene.server.objects = {key: body for key, body in scene.server.objects.items() if key[0] != "pods"}
        await scene.step()
        scene.show(answering)
        await scene.step()
    assert found == {"losses Deleted": 1, "start_seconds Restart Ready": 1, "status_lag_seconds": 1}


async def test_a_start_that_fails_and_then_succeeds(scene: Scene) -> None:
    with counted() as found:
        scene.add()
        await scene.step()
        scene.show(lambda seen: replace(waits("InvalidImageName"), uid=seen.uid))
        await scene.step()
    assert found == {"start_seconds Cold Failed": 1, "failures InvalidImageName": 1}
    with counted() as found:
        scene.show(lambda seen: replace(pod(uid=seen.uid), node="node-1"))
        scene.now = LATER
        await scene.step()
        scene.show(answering)
        await scene.step()
    assert found == {"start_seconds Restart Ready": 1, "status_lag_seconds": 1}


async def test_two_operators_count_a_start_once() -> None:
    first = Scene()
    second = Scene(first.server)
    with counted() as found:
        first.add()
        second.sandboxes.put(first.stored)
        await first.step()
        await second.step()
        for scene in (first, second):
            scene.show(answering)
        # Both have seen the same version, and the second write is refused.
        results = await asyncio.gather(first.step(), second.step(), return_exceptions=True)
    assert [isinstance(result, ApiError) for result in results] == [False, True]
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


async def about_to_be_ready(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)


async def test_a_write_that_was_not_accepted_is_not_counted(scene: Scene) -> None:
    await about_to_be_ready(scene)
    scene.server.fail["patch sandboxes"] = [lost(aiohttp.ServerDisconnectedError())]
    with counted() as found:
        await scene.work()
    assert found == {}
    # The next one is.
    with counted() as found:
        await scene.step()
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


@pytest.mark.parametrize("watch_is_first", [True, False])
@pytest.mark.parametrize("error", LOST_ANSWERS)
async def test_an_accepted_write_whose_answer_is_lost_is_counted_once(
    scene: Scene, error: Exception, watch_is_first: bool
) -> None:
    await about_to_be_ready(scene)
    patch = scene.server.patch

    async def lose_answer(*args: Any, **query: Any) -> KubeObject:
        await patch(*args, **query)
        if watch_is_first:
            scene.sandboxes.put(scene.stored)
        raise lost(error)

    scene.server.patch = lose_answer
    with counted() as found:
        await scene.work()
        scene.server.patch = patch
        # Until the watch shows it, each further attempt is refused.
        await scene.work()
        scene.sandboxes.put(scene.stored)
        scene.edit()
        await scene.step()
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


@pytest.mark.parametrize("error", LOST_ANSWERS)
async def test_another_operator_s_write_counts_there(scene: Scene, error: Exception) -> None:
    await about_to_be_ready(scene)
    scene.server.fail["patch sandboxes"] = [lost(error)]
    other = Scene(scene.server)
    other.sandboxes.put(scene.stored)
    other.now += timedelta(seconds=1)
    other.show(answering)
    with counted() as found:
        await scene.work()
        scene.set_class(2, egress="None")
        await other.step()
        scene.sandboxes.put(scene.stored)
        await scene.step()
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


async def test_a_write_that_this_operator_may_not_send_counts_elsewhere(scene: Scene) -> None:
    await about_to_be_ready(scene)
    other = Scene(scene.server)
    other.sandboxes.put(scene.stored)
    other.show(answering)
    scene.server.fail["patch sandboxes"] = [NotLeadingError()]
    with counted() as found:
        await scene.work()
        # At the same second, so its status is the same.
        await other.step()
        scene.sandboxes.put(scene.stored)
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_a_start_that_is_given_up_without_an_answer(scene: Scene, is_accepted: bool) -> None:
    lives = scene.lives
    change = Change("spec", {"suspend": True, "suspendReason": "StartTimeout"})
    given_up = paused(STARTS.status, "StartTimeout")
    lives.sandbox_changed("one", STARTS, NOW)
    with counted() as found:
        with pytest.raises(ApiError), lives.writing(STARTS, change, lambda: LATER):
            raise lost(ApiError(504, "Timeout", ""))
        shown = given_up if is_accepted else STARTS
        metadata = shown.metadata.model_copy(update={"resource_version": "2"})
        lives.sandbox_changed("one", shown.model_copy(update={"metadata": metadata}), LATER)
    assert found == ({"start_seconds Cold Failed": 1} if is_accepted else {})


async def test_a_write_that_is_answered_after_the_end_of_the_term_is_counted(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)
    answers, patch = asyncio.Event(), scene.server.patch

    async def answer_late(*args: Any, **query: Any) -> KubeObject:
        stored = await patch(*args, **query)
        await answers.wait()
        return stored

    scene.server.patch = answer_late
    with counted() as found:
        working = asyncio.create_task(scene.reconciler.reconcile("one"))
        await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working])
        assert working.cancelled()
        answers.set()
        await asyncio.sleep(0.01)
    assert found == {"start_seconds Cold Ready": 1, "status_lag_seconds": 1}


async def test_the_end_that_the_watch_shows_before_the_answer(scene: Scene) -> None:
    """The answer to the write that ends a start finds the start's beginning nevertheless."""
    scene.add()
    scene.now = LATER
    before = seconds("Cold", "Ready")
    with scene.lives.writing(STARTS, Change("status", {}), lambda: LATER) as written:
        scene.lives.sandbox_changed("one", READY, LATER)
        written(READY)
    assert seconds("Cold", "Ready") - before == (LATER - NOW).total_seconds()


async def test_a_standby_knows_when_a_start_began() -> None:
    lives = Lives()
    lives.sandbox_changed("one", paused(podless(Reason.SUSPENDED)), NOW)
    again = resumed(Reason.SUSPENDED)
    lives.sandbox_changed("one", again, SOON)
    lives.sandbox_changed("one", again, LATER)
    assert lives.start(again) == Start(SOON, "Resume")


async def test_a_sandbox_that_reaches_its_age(scene: Scene) -> None:
    scene.lives.leads = lambda: True
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=60)
    with counted() as found:
        for _ in range(2):
            scene.now += timedelta(hours=1)
            await scene.step()
    assert found == {"deletions MaximumLife": 1}


def test_all_series_exist_from_the_beginning() -> None:
    Lives()
    prefix = "openhands_sandbox_operator_"
    for name, label, values in (
        ("failures_total", "reason", FAILURES),
        ("losses_total", "reason", LossReason),
        ("deletions_total", "cause", ExpiryReason),
        ("suspensions_total", "cause", ("Requested", "Idle", "StartTimeout")),
    ):
        assert all(REGISTRY.get_sample_value(prefix + name, {label: value}) is not None for value in values)
