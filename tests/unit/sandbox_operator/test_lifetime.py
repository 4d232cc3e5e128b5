"""Limits that do not show in a plan; those that do are among its cases."""

import pytest

from sandbox_operator.lifetime import idle_timeout
from unit.sandbox_operator.samples import class_, sandbox


@pytest.mark.parametrize(
    ("own", "of_class", "seconds"),
    [(None, None, 0), (None, 0, 0), (None, 1200, 1200), (0, 1200, 0), (60, 1200, 60), (60, 0, 60), (60, None, 60)],
)
def test_a_sandbox_s_own_idle_timeout_wins(own: int | None, of_class: int | None, seconds: int) -> None:
    known = None if of_class is None else class_(idleTimeoutSeconds=of_class)
    assert idle_timeout(sandbox(idleTimeoutSeconds=own), known) == seconds
