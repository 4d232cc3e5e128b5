"""Fields that pause a sandbox and run it again."""

from datetime import UTC, datetime

import pytest

from sandbox_common.sandboxes.specs import restart_spec
from unit.sandbox_gateway.support import sandbox

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    ("made", "restarted"),
    [
        ("2026-01-02T03:04:04Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"),
        # The API server's clock is ahead of the gateway's.
        ("2026-01-02T03:10:00Z", "2026-01-02T03:10:01Z"),
    ],
)
def test_a_restart_is_later_than_the_pod_that_it_replaces(made: str, restarted: str) -> None:
    assert restart_spec(sandbox(status={"startTime": made}), NOW) == {
        "suspend": False,
        "suspendReason": "",
        "restartedAt": restarted,
    }
