"""What a gateway refuses by the limits of an owner, and which place it tells."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox_common.api_keys import ApiKey, Limits, Policy
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import view
from sandbox_crds.models import Sandbox, SandboxClassSpec
from sandbox_gateway.contract.errors import LimitReachedError
from sandbox_gateway.sandboxes.limit_checks import LimitChecks, lacking, refusal
from unit.sandbox_gateway.support import unconnected_cache

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def item(
    name: str, reason: str = "Ready", *, version: int = 1, since: str = "12:00:00Z", **spec: Any
) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "False", "reason": reason, "message": f"It is {reason}."}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": "2026-11-27T12:00:00Z",
        },
        "spec": {"image": "agent:1", "owner": "team", "sessionID": f"of-{name}", **spec},
        "status": {
            "observedGeneration": 1,
            "launch": "" if reason in {"Queued", "LimitReached"} else "Cold",
            "conditions": [{**condition, "lastTransitionTime": f"2026-11-27T{since}"}],
        },
    }


def sandboxes(**reasons: str) -> list[Sandbox]:
    """By name; `Suspended` ones are suspended."""
    items = [item(name, reason, suspend=reason == "Suspended") for name, reason in reasons.items()]
    return [Sandbox.model_validate(each) for each in items]


FOUR = sandboxes(a="Ready", b="Suspended", c="Queued", d="LimitReached")


@pytest.mark.parametrize(
    ("limits", "coming", "is_new", "limit"),
    [
        (Limits(), 99, True, None),
        (Limits(sandboxes=4), 0, True, None),
        (Limits(sandboxes=3), 0, True, ("sandboxes", 3)),
        (Limits(sandboxes=4), 1, True, ("sandboxes", 4)),
        (Limits(sandboxes=3), 0, False, None),
        (Limits(running=2), 0, True, None),
        (Limits(running=2), 1, True, None),
        (Limits(running=2), 2, True, ("running", 2)),
        (Limits(running=1), 0, False, ("running", 1)),
        (Limits(running=0), 0, True, ("running", 0)),
        (Limits(starts_per_minute=0), 0, False, ("startsPerMinute", 0)),
        (Limits(starts_per_minute=1), 9, True, None),
    ],
)
def test_what_is_refused(limits: Limits, coming: int, is_new: bool, limit: object) -> None:
    """Four sandboxes: one runs, one is paused, one waits, and one was refused by the operator, so it does not count."""
    assert lacking(FOUR, coming, limits, is_new=is_new) == limit


def test_a_refusal_says_what_to_do() -> None:
    assert refusal("running", 2, "team", FOUR) == (
        "Owner team has reached its limit running=2: 2 sandboxes are starting or running. By age: a (session of-a). "
        "Pause or stop one of them (POST /pause or /stop; GET /list shows them), or have the limit raised: "
        "`kubectl ohsb keys set`."
    )
    told = refusal("sandboxes", 3, "team", FOUR)
    assert "By age: a (session of-a), b (session of-b), c (session of-c). Stop one of them (POST /stop)" in told
    assert refusal("startsPerMinute", 0, "team", []) == (
        "Owner team has the limit startsPerMinute=0, which lets no sandbox start. Wait a minute, or have the limit "
        "raised: `kubectl ohsb keys set`."
    )


def test_ten_are_named_and_the_rest_counted_in_few_characters() -> None:
    """Session ids are the client's own, as long as it likes, and those of earlier versions may hold anything."""
    items = [item(f"sb-{number:02}", sessionID="\x1b[31m\u202e" + "s" * 1000) for number in range(13)]
    told = refusal("running", 13, "team", [Sandbox.model_validate(each) for each in items])
    assert [f"sb-{number:02} (" in told for number in range(13)] == [True] * 10 + [False] * 3
    assert "… and 3 more." in told.replace(")", "")
    assert len(told) < 1200
    assert not {"\x1b", "\u202e"} & set(told)


def test_the_strictest_limits_of_the_owner_hold_for_each_of_its_keys() -> None:
    limit_checks = LimitChecks(unconnected_cache(), lambda _: Limits(life_seconds=60, resource_factor=1))
    key = ApiKey("a-key", "team", (), Policy(images=("quay.io/*",)))
    of_owner = limit_checks.of_owner(key)
    assert of_owner.policy == Policy(images=("quay.io/*",), limits=Limits(life_seconds=60, resource_factor=1))


def test_two_starts_of_one_session_count_until_both_are_over() -> None:
    limit_checks = LimitChecks(unconnected_cache(), lambda _: Limits(sandboxes=1))
    with limit_checks.starting("team", "a"):
        with limit_checks.starting("team", "a"):
            pass
        with pytest.raises(LimitReachedError), limit_checks.starting("team", "b"):
            pass
    with limit_checks.starting("team", "b"):
        pass


def test_those_that_are_just_being_made_count() -> None:
    limit_checks = LimitChecks(unconnected_cache(), lambda _: Limits(sandboxes=2))
    with limit_checks.starting("team", "a"), limit_checks.starting("team", "b"):
        with pytest.raises(LimitReachedError), limit_checks.starting("team", "c"):
            pass
        with limit_checks.starting("team", "a"), limit_checks.starting("others", "c"):
            pass
    with limit_checks.starting("team", "c"):
        pass


def test_what_has_been_made_counts_once() -> None:
    cache = unconnected_cache()
    limit_checks = LimitChecks(cache, lambda _: Limits(sandboxes=2))
    with limit_checks.starting("team", "a"):
        cache.remember(item("a"))
        with limit_checks.starting("team", "b"):
            pass


def test_who_was_refused_by_the_operator_is_told_its_words() -> None:
    limit_checks = LimitChecks(unconnected_cache(), lambda _: Limits())
    known = Sandbox.model_validate(item("a", "LimitReached"))
    told = limit_checks.refused(known, view(known, NOON, reached=False, class_=SandboxClassSpec(), left=False))
    assert told is not None
    assert (told.status, told.detail) == (429, "It is LimitReached.")
    waiting = Sandbox.model_validate(item("a", "Queued"))
    assert (
        limit_checks.refused(waiting, view(waiting, NOON, reached=False, class_=SandboxClassSpec(), left=False)) is None
    )


@pytest.mark.parametrize("limits", [Limits(running=2), Limits(sandboxes=3)])
def test_who_was_refused_by_the_operator_is_told_which_sandboxes_take_the_limit(limits: Limits) -> None:
    cache = unconnected_cache()
    limit_checks = LimitChecks(cache, lambda _: limits)
    cache.remember(item("a"))
    cache.remember(item("b", "Starting", version=2))
    cache.remember(item("c", "Suspended", version=3, suspend=True))
    cache.remember(item("theirs", version=4, owner="others"))
    known = cache.remember(item("new", "LimitReached", version=5))
    told = limit_checks.refused(known, view(known, NOON, reached=False, class_=SandboxClassSpec(), left=False))
    assert told is not None
    assert "a (session of-a), b (session of-b)" in told.detail
    assert ("c (session of-c)" in told.detail) == (limits.sandboxes is not None)
    assert not {"new", "theirs"} & set(told.detail.split())


def test_places_are_told_in_the_order_of_the_operator() -> None:
    """Who began to wait in the same second: by name, whatever has been written last."""
    cache = unconnected_cache()
    limit_checks = LimitChecks(cache, lambda _: Limits())
    for name, version, since in (("a", 9, "12:00:00Z"), ("b", 7, "12:00:01Z"), ("c", 8, "12:00:00Z")):
        cache.remember(item(name, "Queued", version=version, since=since))
    cache.remember(item("d", "Starting", version=10))
    messages: dict[str, str] = {}
    for name in "abcd":
        known = cache.get(name)
        assert known
        seen = view(known, NOON, reached=False, class_=SandboxClassSpec(), left=False)
        messages[name] = limit_checks.with_place(known, seen).message
    assert messages == {
        "a": "Place 1 of 3 in the queue. It is Queued.",
        "c": "Place 2 of 3 in the queue. It is Queued.",
        "b": "Place 3 of 3 in the queue. It is Queued.",
        "d": "It is Starting.",
    }


def test_waiting_is_normal_and_a_refusal_is_an_error() -> None:
    waiting, refused = (Sandbox.model_validate(item("a", reason)) for reason in (Reason.QUEUED, Reason.LIMIT_REACHED))
    assert view(waiting, NOON, reached=False, class_=SandboxClassSpec(), left=False).status == "starting"
    assert view(refused, NOON, reached=False, class_=SandboxClassSpec(), left=False).status == "error"
