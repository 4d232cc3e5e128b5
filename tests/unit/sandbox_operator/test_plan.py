"""World in, writes out."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox_crds.models import Sandbox, SandboxClass, SandboxStatus
from sandbox_crds.reasons import Reason
from sandbox_operator.plan import PATIENCE, Made, Plan, Refusal, World, plan
from sandbox_operator.pods import Pod
from sandbox_operator.times import rfc3339
from unit.sandbox_operator.plan_cases import BOOTING, CASES, CLASS, MADE, READY, SUSPENDED
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    LATER,
    NOW,
    POD_UID,
    SOON,
    class_,
    condition,
    container,
    on_node,
    pod,
    ready,
    run,
    runs,
    sandbox,
    status,
    waits,
)


def decide(
    sandbox_: Sandbox,
    pod_: Pod | None = None,
    *,
    class_: SandboxClass | None = CLASS,
    now: datetime = SOON,
    made: Made | None = None,
    refusal: Refusal | None = None,
) -> Plan:
    return plan(World(sandbox_, class_, pod_, now, made, refusal), KEYS)


def writes(made: Plan) -> tuple[str, ...]:
    return (*(create.resource.plural for create in made.creates), *(["delete pods"] if made.delete else []))


def applied(old: SandboxStatus, patch: dict[str, Any]) -> SandboxStatus:
    return SandboxStatus.model_validate({**old.model_dump(by_alias=True), **patch})


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    case = CASES[name]
    made = decide(case.sandbox, case.pod, class_=case.class_, now=case.now, made=case.made, refusal=case.refusal)
    assert writes(made) == case.writes
    assert made.requeue_at == case.requeue_at
    if case.told is None:
        assert made.status is None
    else:
        conditions = (made.status or {}).get(
            "conditions", [each.model_dump() for each in case.sandbox.status.conditions]
        )
        assert (conditions[0]["reason"], conditions[0]["message"]) == (case.told, case.message)
        assert made.status


@pytest.mark.parametrize("name", CASES)
def test_only_our_own_pod_is_deleted(name: str) -> None:
    case = CASES[name]
    made = decide(case.sandbox, case.pod, class_=case.class_, now=case.now, made=case.made, refusal=case.refusal)
    assert made.delete in (None, case.pod)


def fields(made: Plan) -> dict[str, Any]:
    assert made.status is not None
    return made.status


def test_the_first_status_has_everything_at_once() -> None:
    told = fields(decide(sandbox(), ready(), made=MADE))
    assert told == {
        "observedGeneration": 1,
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": rfc3339(SOON)}
        ],
        "podName": pod().name,
        "podUID": POD_UID,
        "podIP": "10.244.0.7",
        "keyID": KEY_ID,
        "launch": "Cold",
        "startTime": rfc3339(NOW),
        "readyTime": rfc3339(SOON),
    }


def test_only_what_has_changed_is_written() -> None:
    restarted = replace(ready(), container=container(waiting_reason="", running_since=NOW, ready=True, restarts=1))
    assert fields(decide(sandbox(status=READY), restarted, now=LATER)) == {"restartCount": 1}


def test_a_reason_that_changes_is_a_transition_and_a_message_is_none() -> None:
    starting = sandbox(status=status(Reason.STARTING, BOOTING))
    [changed] = fields(decide(starting, waits("ErrImagePull", "no"), now=LATER))["conditions"]
    assert changed["lastTransitionTime"] == rfc3339(LATER)
    pulling = sandbox(status=status(Reason.IMAGE_PULL_BACK_OFF, "another cause"))
    [same] = fields(decide(pulling, waits("ErrImagePull", "no"), now=LATER))["conditions"]
    assert same["lastTransitionTime"] == rfc3339(NOW)


def test_conditions_of_others_stay() -> None:
    other = condition_of("Archived")
    old = status(Reason.STARTING, BOOTING)
    kept = sandbox(status=old.model_copy(update={"conditions": [other, *old.conditions]}))
    told = fields(decide(kept, ready(), now=LATER))["conditions"]
    assert [each["type"] for each in told] == ["Ready", "Archived"]


def condition_of(type_: str) -> Any:
    return status(Reason.READY).conditions[0].model_copy(update={"type": type_})


def test_an_address_that_does_not_answer_stays_known_and_a_new_pod_s_is_told_when_it_does() -> None:
    silent = on_node(
        container(waiting_reason="", running_since=NOW), ip="10.244.0.7", ready=condition(False, since=LATER)
    )
    assert "podIP" not in fields(decide(sandbox(status=READY), silent, now=LATER))
    other = replace(silent, uid="another", ip="10.244.0.8", ready=condition(False), created=NOW)
    told = fields(decide(sandbox(status=READY), other, now=LATER, made=Made(KEY_ID, "another")))
    assert (told["podIP"], told["readyTime"], told["launch"]) == ("", "", "Resume")


def test_the_secret_says_which_key_it_holds() -> None:
    """A predecessor with another master key has made the Secret; its answer counts."""
    theirs = "v1-" + "z" * 26
    assert fields(decide(sandbox(), ready(), made=Made(theirs, POD_UID)))["keyID"] == theirs


@pytest.mark.parametrize(("old", "new"), [(KEY_ID, KEY_ID), ("v9-" + "a" * 26, KEY_ID), ("", KEY_ID), ("junk", KEY_ID)])
def test_a_key_is_kept_as_long_as_its_master_is_there(old: str, new: str) -> None:
    made = decide(sandbox(status=SUSPENDED.model_copy(update={"key_id": old})))
    [secret] = [create.body for create in made.creates if create.resource.plural == "secrets"]
    assert secret["metadata"]["annotations"] == {"sandbox.openhands.dev/key-id": new}


def test_keys_do_not_get_into_a_message() -> None:
    leak = f"{KEYS.session_key(KEY_ID)} {KEYS.secret_key(KEY_ID)}"
    seen = on_node(container(waiting_reason="", last_run=run(1, message=leak)))
    told = str(fields(decide(sandbox(), seen, made=MADE)))
    assert KEYS.session_key(KEY_ID) not in told
    assert KEYS.secret_key(KEY_ID) not in told


@pytest.mark.parametrize("cut", [8, 20, 42, 43, 60])
def test_no_part_of_a_key_is_left_where_a_long_message_is_cut(cut: int) -> None:
    """The id of a key is known to all, so the rest of it would be enough."""
    for key in (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID)):
        line = key + "x" * (1023 - cut)
        seen = on_node(container(waiting_reason="", last_run=run(1, message=line)))
        told = fields(decide(sandbox(), seen, made=MADE))["conditions"][0]["message"]
        assert "xxxx" in told
        assert key[-8:] not in told


def test_the_end_of_a_key_that_the_kubelet_cut_does_not_get_into_a_message() -> None:
    for key in (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID)):
        seen = on_node(container(waiting_reason="", last_run=run(1, message=f"{key[-30:]} was the key")))
        assert key[-8:] not in str(fields(decide(sandbox(), seen, made=MADE)))


def test_messages_fit_into_the_schema() -> None:
    told = fields(decide(sandbox(), refusal=Refusal(Reason.POD_REFUSED, "x" * 10_000)))
    assert len(told["conditions"][0]["message"]) <= 4096


@pytest.mark.parametrize(
    ("asked", "known", "dropped"),
    [("", {}, False), ("vm", {"vm": "kata"}, False), ("vm", {"vm": ""}, False), ("vm", {"other": "kata"}, True)],
)
def test_a_runtime_class_that_is_not_listed_is_told_once_a_pod(
    asked: str, known: dict[str, str], dropped: bool
) -> None:
    made = decide(sandbox(runtimeClassName=asked), class_=class_(runtimeClasses=known))
    assert [event["reason"] for event in made.events] == ["RuntimeClassDropped"] * dropped
    again = decide(sandbox(runtimeClassName=asked), runs(), class_=class_(runtimeClasses=known))
    assert again.events == ()


def test_patience_covers_times_of_whole_seconds() -> None:
    assert timedelta(seconds=2) <= PATIENCE
