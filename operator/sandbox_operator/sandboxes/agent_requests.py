"""The requests of a plan to the agent server of a sandbox's pod, in the background."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from sandbox_common import times
from sandbox_common.spans import Span
from sandbox_operator.agents.agent_server import AgentServers, address_of
from sandbox_operator.agents.background import BackgroundRequests
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.initializer import Initializer
from sandbox_operator.sandboxes.memory import Turn
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.queue import WorkQueue


class AgentRequests:
    """Begins such requests. When one ends, its result is in the sandbox's memory, and the sandbox in `queue` again."""

    def __init__(self, agents: AgentServers, initializer: Initializer, queue: WorkQueue) -> None:
        self._agents = agents
        self._initializer = initializer
        self._queue = queue
        self._preparations = BackgroundRequests()
        self._initializations = BackgroundRequests()

    def begin(self, turn: Turn) -> bool:
        """Begin the request of the turn's plan, if it has one. False if too many requests are in progress."""
        sandbox, key = turn.sandbox, turn.key
        if turn.steps.prepare:
            pod, key_id = turn.steps.prepare.pod, turn.steps.prepare.key_id
            ask = partial(self._agents.prepare_for_pause, key, address_of(sandbox, pod), key_id)
            return self._preparations.begin((key, pod.uid), ask, partial(self._prepared, turn, pod))
        if turn.steps.initialize:
            pod, class_ = turn.steps.initialize
            ask = partial(self._initializer.initialize, sandbox, pod, class_)
            return self._initializations.begin(pod.run_id, ask, partial(self._initialized, turn, pod, times.utc_now()))
        return True

    def _prepared(self, turn: Turn, pod: Pod, _: None) -> None:
        turn.memory.prepared = pod.uid
        self._queue.add(turn.key)

    def _initialized(self, turn: Turn, pod: Pod, began: datetime, result: Initialization | None) -> None:
        turn.memory.initialized = result and (pod.run_id, replace(result, ended=times.utc_now()))
        if turn.spans is not None:
            error = "" if result == Initialization() else "not_initialized"
            turn.memory.spans.append(
                Span("initialize agent server", began, times.utc_now(), {"k8s.pod.name": pod.name}, error=error)
            )
        self._queue.add(turn.key)
