"""What is remembered holds for the pod that it is about, and no other."""

from dataclasses import replace

import pytest

from sandbox_common.cluster_events import ClusterEvent
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.sandboxes.memory import Memory
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import NOW, UID, expectations, pod, ready, runs

DEFERRED = replace(ready(), deferred=True)
SEEN = ClusterEvent("FailedMount", "no volume", "Pod", "", NOW)


@pytest.mark.parametrize("other", [None, ready(), replace(runs(restarts=1), deferred=True)])
def test_a_run_that_was_not_initialized(other: Pod | None) -> None:
    memory = Memory(UID, expectations(), initialized=(DEFERRED.run_id, Initialization()))
    assert memory.initialization(DEFERRED) == Initialization()
    assert memory.initialization(other) is None


@pytest.mark.parametrize("other", [None, pod(uid="other")])
def test_events_about_another_pod(other: Pod | None) -> None:
    memory = Memory(UID, expectations(), looked=(pod().uid, NOW, (SEEN,)))
    assert memory.pod_events(pod()) == (NOW, (SEEN,))
    assert memory.pod_events(other) == (None, ())
