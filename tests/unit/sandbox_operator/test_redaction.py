"""No key of a pod gets into a message, and long texts are cut at their beginning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.pods import Obstacle
from sandbox_operator.redaction import redacted_pod, tail
from unit.sandbox_operator.samples import KEY_ID, KEYS, container, on_node, run

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
