"""World in, writes out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sandbox_common.reasons import MEANINGS, Reason
from sandbox_common.remedies import with_remedy
from sandbox_common.times import rfc3339
from sandbox_crds.models import Condition, SandboxStatus
from sandbox_operator.pools.matching import Miss, MissReason
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.situation import LONGEST_PATIENCE, PATIENCE, patience
from sandbox_operator.sandboxes.world import Made, Plan, Prepare
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod
from unit.sandbox_operator.cases import MADE, Case, decide, writes
from unit.sandbox_operator.claim_cases import CLAIMED, CLAIMS, EMPTY, WARM_KEY
from unit.sandbox_operator.limit_cases import LIMITS
from unit.sandbox_operator.plan_cases import BOOTING, CASES, READY
from unit.sandbox_operator.replacement_cases import REPLACEMENTS
from unit.sandbox_operator.samples import (
    BEFORE,
    KEY_ID,
    KEYS,
    LATER,
    NOW,
    POD_UID,
    SOON,
    UID,
    VOLUME,
    class_,
    condition,
    container,
    on_node,
    pod,
    podless,
    ready,
    run,
    runs,
    sandbox,
    status,
    waits,
)
from unit.sandbox_operator.suspension_cases import ASLEEP, ENDING, IS_KEPT, NOT_KEPT, REQUESTED, SUSPENDED, SUSPENSIONS

ALL = {
    **CASES,
    **SUSPENSIONS,
    **REPLACEMENTS,
    **LIMITS,
    **{f"warm: {name}": case for name, case in CLAIMS.items()},
}


def told(made: Plan, old: SandboxStatus) -> Condition:
    [condition] = [each for each in applied(old, made.status or {}).conditions if each.type == "Ready"]
    return condition


def test_the_status_has_the_ports_of_the_pod_and_not_of_the_spec() -> None:
    listening = ready(ports=(("http", 60000), ("work-1", 12000)))
    changed = sandbox(status=READY, command=["agent-server", "--port", "1"], servicePorts={"work-1": 2})
    patch = decide(changed, listening, made=MADE).status
    assert patch
    assert patch == {"ports": {"http": 60000, "work-1": 12000}}
    known = applied(READY, patch)
    assert decide(changed.model_copy(update={"status": known}), listening, made=MADE).status is None
    # A merge leaves what is not named.
    fewer = decide(changed.model_copy(update={"status": known}), ready(ports=(("http", 60000),)), made=MADE).status
    assert fewer == {"ports": {"http": 60000, "work-1": None}}
    gone = decide(sandbox(status=known, suspend=True, suspendReason="Requested")).status
    assert gone
    assert gone["ports"] == {"http": None, "work-1": None}


def applied(old: SandboxStatus, patch: dict[str, Any]) -> SandboxStatus:
    return SandboxStatus.model_validate({**old.model_dump(by_alias=True), **patch})


@pytest.mark.parametrize("name", ALL)
def test_cases(name: str) -> None:
    case = ALL[name]
    made = case.plan()
    assert writes(made) == case.writes
    assert tuple(event["reason"] for event in (*made.events, *made.afterwards)) == case.events
    assert made.requeue_at == case.requeue_at
    if case.told is None:
        assert made.status is None
    else:
        assert made.status
        condition, remedy = told(made, case.sandbox.status), case.remedy or MEANINGS[case.told].remedy
        assert (condition.reason, condition.message) == (case.told, with_remedy(case.message, remedy))
        assert applied(case.sandbox.status, made.status).remedy == remedy


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_is_not_written_again(name: str) -> None:
    case = ALL[name]
    made = case.plan()
    written = case.sandbox.model_copy(update={"status": applied(case.sandbox.status, made.status or {})})
    again = replace(case, sandbox=written).plan()
    assert again.status is None
    if made.status:
        assert again.events == ()


def fields(made: Plan) -> dict[str, Any]:
    assert made.status is not None
    return made.status


def test_the_first_status_has_everything_at_once() -> None:
    told = fields(decide(sandbox(), ready(), made=MADE))
    assert told == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "",
                "lastTransitionTime": rfc3339(SOON),
                "observedGeneration": 1,
            }
        ],
        "sandboxUID": UID,
        "podName": pod().name,
        "podUID": POD_UID,
        "podIP": "10.244.0.7",
        "keyID": KEY_ID,
        "launch": "Cold",
        "startTime": rfc3339(NOW),
        "readyTime": rfc3339(SOON),
        "firstReadyTime": rfc3339(SOON),
        "workspaceKept": False,
    }


def test_a_restored_sandbox_first_takes_over_what_was_its_own() -> None:
    before = status(Reason.STARTING, sandbox_uid=BEFORE)
    [starting] = before.conditions
    announced = starting.model_copy(update={"type": "Expiring", "reason": "NeverReady", "status": "True"})
    before = before.model_copy(update={"conditions": [starting, announced]})
    restored = sandbox(status=before)
    made = decide(restored, now=LATER)
    assert writes(made) == ("restore",)
    told = [starting.model_dump(by_alias=True)]
    assert fields(made) == {"sandboxUID": UID, "startingSince": "", "conditions": told}
    assert writes(decide(sandbox(status=applied(before, fields(made))), now=LATER)) == ("secrets", "pods")
    # A limit of before does not end it at once.
    assert writes(decide(restored, class_=class_(progressDeadlineSeconds=1), now=LATER)) == ("restore",)
    # It is not of this Sandbox as long as the environment has not been copied.
    refused = fields(decide(restored, now=LATER, refusal=Refusal(Reason.QUOTA_EXCEEDED, "no more Secrets")))
    assert "sandboxUID" not in refused
    assert decide(sandbox(status=applied(before, refused)), now=LATER).restore


def test_the_first_status_with_a_pod_names_its_volume_and_an_older_one_is_not_written_for_that() -> None:
    seen = ready(volume_claim=pod().name)
    assert fields(decide(sandbox(), seen, made=MADE))["volumeClaim"] == pod().name
    of_earlier_version = applied(READY, {"sandboxUID": "", "workspaceKept": True})
    assert decide(sandbox(status=of_earlier_version), seen, now=LATER).status is None
    restarted = replace(seen, container=container(waiting_reason="", running_since=NOW, ready=True, restarts=1))
    assert fields(decide(sandbox(status=of_earlier_version), restarted, now=LATER)) == {
        "restartCount": 1,
        "sandboxUID": UID,
        "volumeClaim": pod().name,
    }


def test_only_what_has_changed_is_written() -> None:
    restarted = replace(ready(), container=container(waiting_reason="", running_since=NOW, ready=True, restarts=1))
    assert fields(decide(sandbox(status=READY), restarted, now=LATER)) == {"restartCount": 1}


def test_the_cause_of_the_last_restart_is_reported_as_long_as_the_pod_lives() -> None:
    restarted = container(
        waiting_reason="", running_since=NOW, ready=True, restarts=1, last_run=run(137, message="bye")
    )
    seen = replace(ready(), container=restarted)
    first = fields(decide(sandbox(status=READY), seen, now=LATER))
    why = "The agent server ended with exit code 137 (SIGKILL)"
    assert first == {"restartCount": 1, "restartReason": f"{why}: bye", "log": "bye"}
    reported = sandbox(status=applied(READY, first))
    # Its words may be lost or change while nothing has happened; that is not worth a write.
    forgotten = replace(ready(), container=replace(restarted, last_run=None))
    assert decide(reported, forgotten, now=LATER).status is None
    of_before = sandbox(status=applied(READY, {**first, "log": ""}))
    assert decide(of_before, seen, now=LATER).status is None
    other = ready(uid="another", created=LATER)
    fresh = fields(decide(reported, other, now=LATER, made=Made(KEY_ID, "another")))
    assert (fresh["restartReason"], fresh["log"]) == ("", "")


def test_the_first_readiness_is_kept_and_makes_the_next_pod_a_resumed_one() -> None:
    suspended = sandbox(status=READY, suspend=True)
    paused = applied(READY, fields(decide(suspended, now=LATER)))
    assert (paused.first_ready_time, paused.ready_time) == (rfc3339(SOON), "")
    other = ready(uid="another", created=LATER, ready=condition(True, since=LATER))
    resumed = fields(decide(sandbox(status=paused), other, now=LATER, made=Made(KEY_ID, "another")))
    assert resumed["launch"] == "Resume"
    assert "firstReadyTime" not in resumed


def test_a_pod_after_one_that_was_never_ready_is_no_resumed_one() -> None:
    starting = sandbox(status=status(Reason.STARTING, BOOTING))
    seen = ready(uid="another", created=LATER, ready=condition(True, since=LATER))
    made = fields(decide(starting, seen, now=LATER, made=Made(KEY_ID, "another")))
    assert (made.get("launch", "Cold"), made["firstReadyTime"]) == ("Cold", rfc3339(LATER))


def test_a_start_is_timed_from_its_beginning() -> None:
    """That is the creation, or when the operator saw that it was resumed or lost its pod."""
    refusal = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")
    assert fields(decide(sandbox(), refusal=refusal, now=LATER))["startingSince"] == rfc3339(NOW)
    assert fields(decide(sandbox(status=READY), refusal=refusal, now=LATER))["startingSince"] == rfc3339(LATER)
    assert fields(decide(sandbox(status=SUSPENDED), refusal=refusal, now=LATER))["startingSince"] == rfc3339(LATER)
    started = sandbox(status=status(Reason.STARTING, BOOTING))
    assert "startingSince" not in fields(decide(started, waits("ErrImagePull"), now=LATER))
    assert fields(decide(started, ready(), now=LATER))["startingSince"] == ""


def test_a_crash_loop_is_timed_like_a_start_also_in_a_pod_that_was_ready() -> None:
    crashing = waits("CrashLoopBackOff", restarts=3, last_run=run(1))
    told = fields(decide(sandbox(status=READY), crashing, now=LATER))
    assert told["startingSince"] == rfc3339(LATER)
    looping = READY.model_copy(update={"starting_since": rfc3339(LATER)})
    assert fields(decide(sandbox(status=looping), ready(), now=LATER))["startingSince"] == ""


def test_the_agent_server_is_opened_with_the_key_that_its_pod_has() -> None:
    theirs = "v1-" + "z" * 26
    for made, of_status in ((None, {"key_id": theirs}), (Made(theirs), {"key_id": ""})):
        steps = decide(sandbox(status=READY.model_copy(update=of_status), suspend=True), ready(), now=LATER, made=made)
        assert steps.prepare == Prepare(ready(), theirs)


def test_a_remedy_is_told_once_and_whole() -> None:
    remedy = f" Remedy: {MEANINGS[Reason.POD_REFUSED].remedy}"
    long = decide(sandbox(), refusal=Refusal(Reason.POD_REFUSED, "x" * 10_000))
    message = told(long, SandboxStatus()).message
    assert (len(message), message.endswith(f"x.{remedy}")) == (2048, True)
    # A message that is taken over already has one.
    woken = sandbox(status=ASLEEP, suspend=True, suspendReason="Idle", generation=2)
    [again] = applied(ASLEEP, fields(decide(woken, now=LATER))).conditions
    assert (again.message, again.message.count("Remedy: ")) == (ASLEEP.conditions[0].message, 1)


def test_what_a_suspension_said_stands_in_the_words_of_its_version() -> None:
    [condition_] = ASLEEP.conditions
    older = condition_.model_copy(update={"message": "Idle for long. The workspace is kept. Remedy: Pray."})
    for remedy in ("Pray.", ""):
        of_older = ASLEEP.model_copy(update={"conditions": [older], "remedy": remedy})
        assert decide(sandbox(status=of_older, suspend=True, suspendReason="Idle"), now=LATER).status is None


@pytest.mark.parametrize("name", ALL)
def test_a_status_of_the_version_before_leads_to_the_same(name: str) -> None:
    """It has no `remedy`, `log` and `workspaceKept`; that alone is not worth a write."""
    case = ALL[name]
    old = case.sandbox.status.model_copy(update={"remedy": "", "log": "", "workspace_kept": None})
    of_before = replace(case, sandbox=case.sandbox.model_copy(update={"status": old}))
    now, before = case.plan(), of_before.plan()
    assert (writes(before), before.requeue_at) == (writes(now), now.requeue_at)
    assert [event["note"] for event in before.events] == [event["note"] for event in now.events]
    assert (before.status is None) == (now.status is None)
    if before.status:
        condition = told(before, old)
        assert condition.reason == case.told
        # Whether the workspace is kept, it has in words alone, behind others.
        quotes = name == "asleep, and now suspended on request"
        assert condition.message == (QUOTED if quotes else told(now, case.sandbox.status).message)
        written = of_before.sandbox.model_copy(update={"status": applied(old, before.status)})
        assert replace(of_before, sandbox=written).plan().status is None


QUOTED = with_remedy("Suspended on request. Idle for long. The workspace is kept.", MEANINGS[Reason.SUSPENDED].remedy)


@pytest.mark.parametrize("kept", [True, False])
def test_the_status_says_whether_the_workspace_outlives_the_pod(kept: bool) -> None:
    """Whatever the class has become since. A pod that an earlier version has reported costs no write."""
    running, of_class = ready(volume_claim=VOLUME if kept else ""), class_(workspace={"persistent": not kept})
    first = decide(sandbox(), running, class_=of_class, made=MADE).status
    assert first
    assert first["workspaceKept"] is kept
    assert decide(sandbox(status=READY), running, class_=of_class, now=LATER).status is None
    another = replace(running, uid="another")
    renewed = decide(sandbox(status=READY), another, class_=of_class, made=Made(KEY_ID, "another"), now=LATER)
    assert fields(renewed)["workspaceKept"] is kept


@pytest.mark.parametrize("kept", [True, False])
def test_a_suspension_says_of_the_workspace_what_was_true_for_the_pod(kept: bool) -> None:
    of_pod = READY.model_copy(update={"workspace_kept": kept})
    of_class = class_(workspace={"persistent": not kept})
    gone = decide(sandbox(status=of_pod, suspend=True), class_=of_class, now=LATER)
    assert told(gone, of_pod).message.startswith(f"{REQUESTED} {IS_KEPT if kept else NOT_KEPT}")
    assert applied(of_pod, fields(gone)).workspace_kept is kept


def test_whether_the_workspace_was_kept_is_quoted_from_a_version_that_only_said_so() -> None:
    before = ASLEEP.model_copy(update={"remedy": "", "workspace_kept": None})
    paused = sandbox(status=before, suspend=True, suspendReason="Requested")
    assert told(decide(paused, now=LATER), before).message == QUOTED
    ends = told(decide(paused, replace(ENDING, volume_claim=VOLUME), now=LATER + PATIENCE), before)
    assert ends.message == "The pod ends. Suspended on request. The workspace is kept."


@pytest.mark.parametrize(("persistent", "kept"), [(True, "The workspace is kept."), (False, "was not kept")])
def test_whoever_loses_a_pod_learns_what_became_of_the_workspace(persistent: bool, kept: str) -> None:
    [event] = decide(sandbox(status=READY), class_=class_(workspace={"persistent": persistent}), now=LATER).events
    assert event["type"] == "Warning"
    assert kept in event["note"]
    assert event["metadata"]["name"] == f"one.podlost.{POD_UID}"


def test_a_lost_node_is_named_when_its_pod_is_gone() -> None:
    lost = status(Reason.NODE_LOST, "Node node-1 does not report.")
    [event] = decide(sandbox(status=lost), now=LATER).events
    assert "Node node-1 does not report. A new one follows." in event["note"]


def test_a_start_that_is_given_up_says_what_it_lacked() -> None:
    case = LIMITS["start of one that was ready takes too long"]
    lacking = status(Reason.UNSCHEDULABLE, "no room", first_ready_time=rfc3339(NOW))
    note = replace(case, sandbox=sandbox(status=lacking)).plan().suspend
    assert note == "The start took longer than the 100 s of progressDeadlineSeconds. Last: Unschedulable: no room."


@pytest.mark.parametrize("name", ["too old", "suspended for too long", "start takes too long"])
def test_the_end_is_announced_and_reported_with_its_reason(name: str) -> None:
    ends = LIMITS[name]
    [ended] = ends.plan().afterwards
    announced = ends.sandbox.status.condition("Expiring")
    assert announced
    assert ended["note"].startswith(f"{announced.reason}: ")
    untold = ends.sandbox.status.model_copy(update={"conditions": ends.sandbox.status.conditions[:1]})
    first: Case = replace(ends, sandbox=ends.sandbox.model_copy(update={"status": untold}))
    [soon] = first.plan().events
    assert announced.reason in soon["note"]
    [ready_, expiring] = fields(first.plan())["conditions"]
    assert (ready_["type"], expiring["type"], expiring["status"]) == ("Ready", "Expiring", "True")
    # A successor of an operator that died before it wrote the status posts the same event.
    assert (
        soon["metadata"]["name"]
        == replace(first, now=first.now + timedelta(seconds=1)).plan().events[0]["metadata"]["name"]
    )


def test_a_reason_that_changes_is_a_transition_and_a_message_is_none() -> None:
    starting = sandbox(status=status(Reason.STARTING, BOOTING))
    [changed] = fields(decide(starting, waits("ErrImagePull", "no"), now=LATER))["conditions"]
    assert changed["lastTransitionTime"] == rfc3339(LATER)
    pulling = sandbox(status=status(Reason.IMAGE_PULL_BACK_OFF, "another cause"))
    [same] = fields(decide(pulling, waits("ErrImagePull", "no"), now=LATER))["conditions"]
    assert same["lastTransitionTime"] == rfc3339(NOW)


def test_a_kubelet_that_waits_without_saying_why_takes_nothing_back() -> None:
    """Before Kubernetes 1.32 the cause stands only in the moment of the attempt."""
    waiting = waits("ImagePullBackOff", 'Back-off pulling image "agent:1"')
    denied = sandbox(status=status(Reason.IMAGE_PULL_DENIED, "ImagePullBackOff: denied. Remedy: Ask."))
    assert decide(denied, waiting, now=LATER).status is None
    starting = sandbox(status=status(Reason.STARTING, BOOTING))
    [told] = fields(decide(starting, waiting, now=LATER))["conditions"]
    assert told["reason"] == Reason.IMAGE_PULL_BACK_OFF


def test_a_container_that_must_be_made_again_starts_again() -> None:
    at_work = sandbox(status=status(Reason.READY, readyTime=rfc3339(NOW)))
    assert fields(decide(at_work, waits("ErrImagePull", "503"), now=LATER))["startingSince"] == rfc3339(LATER)


@pytest.mark.parametrize(
    "late",
    [pod(), pod(node="node-1"), waits("ContainerCreating")],
    ids=["waits for a node", "has a node", "its container is made"],
)
def test_a_ready_sandbox_stays_so_while_the_cache_lags_behind_what_another_leader_has_reported(late: Pod) -> None:
    at_work = sandbox(status=status(Reason.READY, readyTime=rfc3339(NOW)))
    for seconds in (2, 60):
        made = decide(at_work, late, now=NOW + timedelta(seconds=seconds))
        assert (made.status, made.look) == (None, None)


def test_conditions_of_others_stay() -> None:
    other = condition_of("Archived")
    old = status(Reason.STARTING, BOOTING)
    kept = sandbox(status=old.model_copy(update={"conditions": [other, *old.conditions]}))
    told = fields(decide(kept, ready(), now=LATER))["conditions"]
    assert [each["type"] for each in told] == ["Ready", "Archived"]


def condition_of(type_: str) -> Any:
    return status(Reason.READY).conditions[0].model_copy(update={"type": type_})


def test_an_address_that_does_not_answer_stays_known_and_a_new_pod_s_is_reported_when_it_does() -> None:
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
    seen = on_node(container(waiting_reason="", restarts=1, last_run=run(1, message=leak)))
    told = fields(decide(sandbox(), seen, made=MADE))
    assert told["log"] == "[redacted] [redacted]"
    assert KEYS.session_key(KEY_ID) not in str(told)
    assert KEYS.secret_key(KEY_ID) not in str(told)


@pytest.mark.parametrize("cut", [8, 20, 42, 43, 60])
def test_no_part_of_a_key_is_left_where_a_long_message_is_cut(cut: int) -> None:
    """The id of a key is known to all, so the rest of it would be enough."""
    for key in (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID)):
        line = key + "x" * (1023 - cut)
        seen = on_node(container(waiting_reason="", last_run=run(1, message=line)))
        told = fields(decide(sandbox(), seen, made=MADE))
        for text in (told["conditions"][0]["message"], told["log"]):
            assert "xxxx" in text
            assert key[-8:] not in text


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
def test_a_runtime_class_that_is_not_listed_is_reported_once_a_pod(
    asked: str, known: dict[str, str], dropped: bool
) -> None:
    made = decide(sandbox(runtimeClassName=asked), class_=class_(runtimeClasses=known))
    reported = [create.event["reason"] for create in made.creates if create.event]
    assert reported == ["RuntimeClassDropped"] * dropped
    again = decide(sandbox(runtimeClassName=asked), runs(), class_=class_(runtimeClasses=known))
    assert [create.event for create in again.creates] == [None]


@pytest.mark.parametrize(
    ("asked", "known", "given"),
    [
        ("", {}, None),
        ("", {"vm": "kata"}, None),
        ("vm", {"vm": "kata"}, "kata"),
        ("vm", {"vm": ""}, None),
        ("vm", {"vm": "", "": "gvisor"}, "gvisor"),
        ("", {"vm": "kata", "": "gvisor"}, "gvisor"),
        ("other", {"vm": "kata", "": "gvisor"}, "gvisor"),
        ("other", {"vm": "kata"}, None),
    ],
)
def test_no_client_chooses_less_isolation_than_its_class_gives(
    asked: str, known: dict[str, str], given: str | None
) -> None:
    made = decide(sandbox(runtimeClassName=asked), class_=class_(runtimeClasses=known))
    [pod] = [create.body for create in made.creates if create.body["kind"] == "Pod"]
    assert pod["spec"].get("runtimeClassName") == given


def test_patience_covers_times_of_whole_seconds() -> None:
    assert timedelta(seconds=2) <= PATIENCE


def test_in_a_crowd_a_passing_state_is_told_later_and_before_a_client_must_know_its_key() -> None:
    assert [patience(untold) for untold in (0, 50, 10_000)] == [PATIENCE, timedelta(seconds=3), LONGEST_PATIENCE]
    assert timedelta(seconds=10) > LONGEST_PATIENCE


def test_a_warm_start_is_told_with_its_pool_key_and_time() -> None:
    steps = decide(sandbox(), CLAIMED)
    told = applied(SandboxStatus(), fields(steps))
    assert (told.launch, told.pool, told.key_id, told.pool_miss) == ("Warm", "pool", WARM_KEY, "")
    # What the pod was ready for before is not this sandbox's.
    assert (told.start_time, told.ready_time) == (rfc3339(CLAIMED.created), rfc3339(NOW))
    assert told.first_ready_time == told.ready_time


def test_a_pod_that_becomes_ready_after_its_claim_is_ready_since_then() -> None:
    steps = decide(sandbox(), replace(CLAIMED, ready=condition(True, since=LATER)), now=LATER)
    assert fields(steps)["readyTime"] == rfc3339(LATER)


def test_a_miss_is_told_once_with_whatever_is_told_first() -> None:
    first = Case(sandbox(), ready(), made=MADE, miss=EMPTY).plan()
    assert fields(first)["poolMiss"] == str(EMPTY)
    known = applied(SandboxStatus(), fields(first))
    other = Miss(MissReason.OTHER, "something else")
    assert Case(sandbox(status=known), ready(), made=MADE, miss=other).plan().status is None
    assert "poolMiss" not in fields(decide(sandbox(), ready(), made=MADE))


def test_a_resumed_sandbox_gets_the_key_of_its_warm_pod_before_its_pod() -> None:
    asleep = podless(Reason.SUSPENDED, key_id=WARM_KEY, launch="Warm", first_ready_time=rfc3339(NOW))
    [secret, made] = decide(sandbox(status=asleep), now=LATER).creates
    for create in (secret, made):
        assert create.body["metadata"]["annotations"][KEY_ID_ANNOTATION] == WARM_KEY
    assert (secret.waits, made.waits) == (False, True)
    assert secret.key_ids == {WARM_KEY}


def test_a_cold_start_makes_all_at_once_and_says_nothing_of_its_key() -> None:
    [secret, made] = decide(sandbox()).creates
    assert not secret.waits
    assert not made.waits
    assert KEY_ID_ANNOTATION not in made.body["metadata"]["annotations"]
    assert secret.key_ids == KEYS.key_ids(UID)


def test_a_pod_waits_for_a_claim_that_the_status_names_and_takes_no_warm_pod() -> None:
    named = SandboxStatus().model_copy(update={"volume_claim": VOLUME})
    steps = decide(sandbox(status=named), class_=class_(workspace={"persistent": True}))
    assert not steps.claim
    assert {create.body["kind"]: create.waits for create in steps.creates} == {
        "Secret": False,
        "PersistentVolumeClaim": False,
        "Pod": True,
    }


@pytest.mark.parametrize(
    "steps",
    [
        decide(sandbox(), class_=None, now=LATER),
        decide(sandbox(), refusal=Refusal(Reason.POD_REFUSED, "denied")),
    ],
)
def test_a_start_that_cannot_go_on_has_its_key_told(steps: Plan) -> None:
    assert fields(steps)["keyID"] == KEY_ID
