"""Requests of the operator to agent servers."""

import aiohttp
import structlog

from sandbox_crds.command import agent_port
from sandbox_crds.keys import MasterKeys
from sandbox_crds.models import Sandbox

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PREPARE = "/api/conversations/prepare-for-sandbox-pause"
_PREPARE_SECONDS = 10.0
_ABSENT = frozenset({404, 405})
"""Answers of an agent server that does not know the request yet."""


class AgentServers:
    """Talks to the agent servers of all sandboxes. `session` should not look for proxies (`trust_env`)."""

    def __init__(self, session: aiohttp.ClientSession, keys: MasterKeys) -> None:
        self._session = session
        self._keys = keys

    async def prepare_for_pause(self, sandbox: Sandbox, ip: str, key_id: str) -> None:
        """Have conversations saved and closed, within 10 s, before the pod at `ip` is deleted.

        Its failure is only logged. Source: openhands_agent_server 1.58.2, `credential_binding.py`.
        """
        timeout = aiohttp.ClientTimeout(total=_PREPARE_SECONDS)
        headers = {"X-Session-API-Key": self._keys.session_key(key_id)}
        try:
            async with self._session.post(
                f"{base_url(sandbox, ip)}{_PREPARE}", headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status >= 300 and response.status not in _ABSENT:
                    _log.warning("not prepared for its pause", sandbox=sandbox.metadata.name, status=response.status)
        except (aiohttp.ClientError, OSError) as error:
            cause = str(error) or type(error).__name__
            _log.warning("not prepared for its pause", sandbox=sandbox.metadata.name, error=cause)


def base_url(sandbox: Sandbox, ip: str) -> str:
    """URL of the agent server in the sandbox's pod with this address."""
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{agent_port(sandbox.spec.command)}"
