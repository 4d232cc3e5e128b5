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
    """Those under way, by the UIDs of their pods."""

    def __init__(self, agents: AgentServers) -> None:
        self._agents = agents
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def begin(self, sandbox: Sandbox, pod: Pod, key_id: str, over: Callable[[], None]) -> bool:
        """Ask the agent server of this pod, unless that is under way. False when too many are being asked.

        `over()` is called when it has been asked, whatever came of it.
        """
        if pod.uid not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return False
            self._under_way[pod.uid] = asyncio.create_task(self._ask(sandbox, pod, key_id, over))
        return True

    async def _ask(self, sandbox: Sandbox, pod: Pod, key_id: str, over: Callable[[], None]) -> None:
        name = sandbox.metadata.name
        try:
            await self._agents.prepare_for_pause(name, address_of(sandbox, pod), key_id)
        except Exception:
            _log.exception("not prepared for its pause", sandbox=name)  # it is paused all the same
        finally:
            del self._under_way[pod.uid]
            over()
