"""Agent servers that are asked to save their work before their pods go, beside the workers.

What runs in a pod may let its caller wait as long as it likes, which must not hold up other sandboxes.
"""

import asyncio
from collections.abc import Callable

import structlog

from sandbox_crds.models import Sandbox
from sandbox_operator.agents.agent_server import AgentServers, address_of
from sandbox_operator.watching.pods import Pod

AT_ONCE = 256
"""Pods whose agent servers are being asked."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Preparations:
    """`over(key)` is called when an agent server has been asked, whatever came of it."""

    def __init__(self, agents: AgentServers, over: Callable[[str], None]) -> None:
        self._agents = agents
        self._over = over
        self._under_way: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._prepared: dict[str, str] = {}

    def begin(self, key: str, sandbox: Sandbox, pod: Pod, key_id: str) -> bool:
        """Ask the agent server of this pod, unless that is under way. False when too many are being asked."""
        this = (key, pod.uid)
        if this not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return False
            self._under_way[this] = asyncio.create_task(self._ask(key, sandbox, pod, key_id))
        return True

    def take(self, key: str) -> str:
        """UID of the pod that has been asked since the last call, if any."""
        return self._prepared.pop(key, "")

    async def _ask(self, key: str, sandbox: Sandbox, pod: Pod, key_id: str) -> None:
        try:
            await self._agents.prepare_for_pause(key, address_of(sandbox, pod), key_id)
        except Exception:
            _log.exception("not prepared for its pause", sandbox=key)  # it is paused all the same
        finally:
            del self._under_way[key, pod.uid]
            self._prepared[key] = pod.uid
            self._over(key)
