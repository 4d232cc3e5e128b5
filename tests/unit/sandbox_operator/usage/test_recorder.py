"""The recorder: when it writes, and what it does when the API server fails or somebody else writes."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from sandbox_common.kube import ApiError
from sandbox_common.kube.resources import SANDBOX_USAGES
from sandbox_common.usage import DAY
from sandbox_crds.models.sandbox_usage import DAYS_KEPT
from sandbox_crds.names import usage_name
from sandbox_operator.usage.ledger import GATHER, PERIOD, REST_PERIOD
from unit.remains import remains
from unit.sandbox_operator.usage.stage import BEGIN, CPU, Stage, ready, suspended

RECORD = ("sandboxusages", usage_name("team"))


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    assert await stage.recorder.begin()
    return stage


def running(stage: Stage, name: str = "one", owner: str = "team") -> None:
    stage.put(name, owner, stage.now, **ready(stage.now, stage.now, "Cold", f"pod of {name}"))
    stage.bind(name)


def failing() -> float | None:
    """The gauge of owners whose usage could not be written."""
    return REGISTRY.get_sample_value("openhands_sandbox_operator_usage_failing_owners")


async def test_a_life_is_recorded_in_a_few_writes(stage: Stage) -> None:
    running(stage)
    await stage.until(BEGIN + 1000)
    stage.delete("one")
    await stage.until(BEGIN + 40 * DAY)
    total = stage.total()
    assert (total.running_seconds, total.cold_starts, total.cpu_millicore_seconds) == (1000, 1, 1000 * CPU)
    times = [time - BEGIN for time, _ in stage.server.writes]
    assert times[0] == GATHER
    assert len(times) == 5
    record = stage.record()
    assert record
    assert record.spec.owner == "team"
    assert record.status.total == total


async def test_the_first_record_is_one_write_and_an_idle_namespace_has_none(stage: Stage) -> None:
    await stage.until(BEGIN + DAY)
    assert stage.server.writes == []
    running(stage)
    await stage.until(stage.now + 60)
    assert [what for what in stage.server.seen if "get" not in what and "list" not in what] == ["create sandboxusages"]
    # A sandbox that waits for a node uses nothing.
    stage.put("waiting", "nobody")
    await stage.until(stage.now + DAY)
    assert stage.record("nobody") is None


async def test_suspended_sandboxes_cause_a_write_a_day(stage: Stage) -> None:
    stage.put("one", **suspended(BEGIN))
    await stage.until(BEGIN + 3 * REST_PERIOD + 100)
    assert [round((time - BEGIN) / DAY) for time, _ in stage.server.writes] == [0, 1, 2, 3]
    assert stage.total().suspended_seconds >= 3 * DAY - GATHER


async def test_a_resume_after_a_day_is_recorded_soon(stage: Stage) -> None:
    stage.put("one", **suspended(BEGIN))
    await stage.until(BEGIN + DAY / 2)
    stage.put("one", **ready(stage.now, BEGIN, "Resume", "pod of one"))
    stage.bind("one")
    await stage.until(stage.now + GATHER + 1)
    assert stage.total().suspended_seconds == DAY / 2
    # Even if the leader is killed now, nothing is lost.
    stage.leads()
    await stage.recorder.begin()
    await stage.until(stage.now + 2 * PERIOD)
    assert (stage.total().suspended_seconds, stage.total().resumes) == (DAY / 2, 1)


async def test_owners_are_recorded_apart_and_those_without_one_together(stage: Stage) -> None:
    for number, owner in enumerate(["", "", "a", "\x1b[2J" * 60, "\U0001f600"]):
        running(stage, f"sandbox-{number}", owner)
    await stage.until(BEGIN + 100)
    assert [stage.total(owner).cold_starts for owner in ("", "a", "\x1b[2J" * 60, "\U0001f600", "b")] == [2, 1, 1, 1, 0]
    assert len({name for _, name in stage.server.writes}) == 4


async def test_a_replaced_sandbox_of_the_same_name_is_another_one(stage: Stage) -> None:
    running(stage)
    stage.now += 100
    sandbox = stage.sandboxes.get("one")
    assert sandbox
    metadata = sandbox.metadata.model_copy(update={"uid": "another"})
    stage.sandboxes.put("one", sandbox.model_copy(update={"metadata": metadata}))
    stage.recorder.changed("one")
    await stage.until(stage.now + 2 * PERIOD)
    assert stage.total().running_seconds == 100


@pytest.mark.parametrize(
    "error", [ApiError(500, "InternalError", ""), ApiError(409, "Conflict", ""), TimeoutError(), OSError()]
)
async def test_a_write_that_fails_is_repeated(stage: Stage, error: Exception) -> None:
    running(stage)
    stage.server.fail["create sandboxusages"] = [error]
    with pytest.raises(type(error)):
        await stage.until(BEGIN + 10)
    assert stage.record() is None
    # A conflict is no failure.
    assert failing() == (0 if isinstance(error, ApiError) and error.code == 409 else 1)
    await stage.recorder.record("team")
    assert failing() == 0
    await stage.until(BEGIN + PERIOD + 60)
    assert stage.total().cold_starts == 1
    assert stage.total().running_seconds >= PERIOD


async def test_an_event_during_a_write_that_fails_loses_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    running(stage)
    stage.now += 2
    stage.end("one")
    create = stage.server.create

    async def failing(*args: Any, **kwargs: Any) -> Any:
        stage.delete("one")
        raise TimeoutError

    monkeypatch.setattr(stage.server, "create", failing)
    with pytest.raises(TimeoutError):
        await stage.until(BEGIN + 10)
    monkeypatch.setattr(stage.server, "create", create)
    await stage.until(BEGIN + 60)
    assert (stage.total().running_seconds, stage.total().cold_starts) == (2, 1)


async def test_a_write_whose_answer_was_lost_counts_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    running(stage)
    await stage.until(BEGIN + 10)
    patch = stage.server.patch

    async def lost(*args: Any, **kwargs: Any) -> Any:
        await patch(*args, **kwargs)
        raise TimeoutError

    monkeypatch.setattr(stage.server, "patch", lost)
    with pytest.raises(TimeoutError):
        await stage.until(BEGIN + PERIOD + 60)
    monkeypatch.setattr(stage.server, "patch", patch)
    stage.delete("one")
    end = stage.now
    await stage.recorder.record("team")
    await stage.until(BEGIN + 4 * PERIOD)
    assert (stage.total().running_seconds, stage.total().cold_starts) == (int(end) - BEGIN, 1)


async def test_another_leaders_write_is_not_counted_again(stage: Stage) -> None:
    running(stage)
    former = stage.recorder
    await stage.until(BEGIN + 100)
    stage.leads()
    await stage.recorder.begin()
    await stage.until(BEGIN + 400)
    # The former leader only seemed to be dead.
    await former.record("team")
    former.changed("one")
    await former.record("team")
    await stage.until(BEGIN + 2000)
    assert stage.total().cold_starts == 1
    assert BEGIN + stage.total().running_seconds <= stage.now


async def test_a_record_that_somebody_deleted_begins_again(stage: Stage) -> None:
    running(stage)
    await stage.until(BEGIN + 400)
    del stage.server.objects[RECORD]
    await stage.until(BEGIN + 1000)
    assert 300 <= stage.total().running_seconds < 1000


async def test_a_record_whose_days_are_gone_is_deleted_and_forgotten(stage: Stage) -> None:
    running(stage)
    await stage.until(BEGIN + 100)
    stage.delete("one")
    await stage.until(BEGIN + DAYS_KEPT * DAY - 1)
    assert RECORD in stage.server.objects
    await stage.until(BEGIN + DAYS_KEPT * DAY + 10)
    assert RECORD not in stage.server.objects
    assert remains(stage.recorder, ["team"], beside=[stage]) == []


async def test_a_new_leader_deletes_an_old_record(stage: Stage) -> None:
    status = {"through": "2020-01-01T00:00:00Z", "days": {"2020-01-01": {"default": {"runningSeconds": 1}}}}
    await stage.server.create(
        SANDBOX_USAGES, "here", {"metadata": {"name": RECORD[1]}, "spec": {"owner": "team"}, "status": status}
    )
    stage.leads()
    await stage.recorder.begin()
    await stage.until(BEGIN + 10)
    assert RECORD not in stage.server.objects


async def test_nothing_is_held_of_a_sandbox_that_is_gone(stage: Stage) -> None:
    running(stage)
    stage.put("two", **suspended(BEGIN))
    await stage.until(BEGIN + 1000)
    for name in ("one", "two"):
        stage.delete(name)
    await stage.until(BEGIN + 2000)
    assert remains(stage.recorder, ["of one", "of two"], beside=[stage, stage.server]) == []


async def test_without_the_definition_nothing_is_held_and_it_is_tried_again(stage: Stage) -> None:
    stage.leads()
    stage.server.fail["list sandboxusages"] = [ApiError(404, "NotFound", "the server could not find it")]
    assert not await stage.recorder.begin()
    assert failing() == 1
    running(stage)
    await stage.until(BEGIN + 100)
    assert stage.server.writes == []
    assert await stage.recorder.begin()
    assert failing() == 0
    await stage.until(BEGIN + 200)
    assert stage.total().running_seconds > 100


async def test_an_unreadable_record_or_sandbox_harms_no_other(stage: Stage) -> None:
    stage.server.objects["sandboxusages", "broken"] = {"metadata": {"name": "broken"}, "spec": {}}
    stage.leads()
    assert await stage.recorder.begin()
    stage.put("broken", "team", launch="Cold", workspaceKept=True, firstReadyTime="yesterday")
    running(stage, "one", "team")
    await stage.until(BEGIN + 400)
    assert stage.total().cold_starts == 1


async def test_a_larger_volume_counts_from_when_its_class_says_so(stage: Stage) -> None:
    stage.put("one", **suspended(BEGIN), firstReadyTime="2026-11-01T00:00:00Z")
    await stage.until(BEGIN + 100)
    stage.set_size("20Gi")
    stage.recorder.changed("one")
    await stage.until(BEGIN + 200)
    stage.delete("one")
    await stage.until(BEGIN + 4 * PERIOD)
    assert stage.total().storage_mebibyte_seconds == 1024 * (10 * 100 + 20 * 100)
