"""No key of a pod gets into a message, and long texts are cut at their beginning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.reporting.redaction import has_foreign_text, redacted_pod, tail
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import Made, World
from sandbox_operator.watching.pods import Obstacle, Pod
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    LATER,
    class_,
    condition,
    container,
    on_node,
    ready,
    run,
    sandbox,
)

SECRETS = (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID))


@given(st.lists(st.one_of(st.sampled_from(SECRETS), st.text(max_size=2000))).map("".join))
def test_every_text_of_a_pod_is_redacted(text: str) -> None:
    seen = redacted_pod(
        on_node(
            container(waiting_message=text, last_run=run(1, message=text)),
            message=text,
            obstacle=Obstacle("mesh", "CrashLoopBackOff", text),
        ),
        SECRETS,
    )
    told = repr(seen)
    assert not [secret for secret in SECRETS if secret in told]


def _with_text(text: str) -> list[Pod]:
    """Pods that are alike but for the place where the text stands."""
    return [
        on_node(container(), message=text, phase="Failed"),
        on_node(container(), reason=text, phase="Failed"),
        on_node(container(), scheduled=condition(False, "Unschedulable", text)),
        on_node(container(), ready=condition(False, "", text)),
        on_node(container(), disruption=condition(True, "EvictionByEvictionAPI", text), deletion_requested=LATER),
        on_node(container(waiting_reason=text)),
        on_node(container(waiting_reason="CreateContainerError", waiting_message=text)),
        on_node(container(last_run=run(1, message=text))),
        on_node(container(), obstacle=Obstacle("mesh", "CrashLoopBackOff", text)),
    ]


@pytest.mark.parametrize("place", range(len(_with_text(""))))
@pytest.mark.parametrize("secret", SECRETS)
def test_wherever_a_key_stands_in_a_pod_nothing_that_is_told_has_it(secret: str, place: int) -> None:
    pod = _with_text(f"x {secret} y")[place]
    assert has_foreign_text(pod)
    world = World(sandbox(), class_(), pod, LATER, made=Made(KEY_ID, pod.uid), looked=LATER)
    steps = plan(world, KEYS)
    assert steps.status
    assert secret not in repr((steps.status, steps.events, steps.afterwards))


def test_a_pod_that_runs_well_has_no_words_of_others() -> None:
    assert not has_foreign_text(ready())


@pytest.mark.parametrize(
    ("text", "limit", "end"),
    [
        ("all of it\n", 100, "all of it"),
        ("first\nsecond\nthird", 13, "…third"),
        ("first\nsecond\nthird", 14, "…second\nthird"),
        ("0123456789", 5, "…6789"),
        ("", 5, ""),
    ],
)
def test_the_end_of_a_text(text: str, limit: int, end: str) -> None:
    assert tail(text, limit) == end


@given(st.text(), st.integers(2, 50))
def test_the_end_is_never_longer_than_asked_for(text: str, limit: int) -> None:
    assert len(tail(text, limit)) <= limit
