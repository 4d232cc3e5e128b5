"""Initializes agent servers that boot dormant."""

import asyncio

import structlog

from sandbox_common.kube import FAILURES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers, InitError, address_of
from sandbox_operator.pools.client_environments import ClientEnvironments, EnvironmentMissingError
from sandbox_operator.pools.deferred import Initialization, init_body
from sandbox_operator.watching.pods import Pod

_RETRY_SECONDS = 1.0

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Initializer:
    """Sends dormant agent servers the environments of their sandboxes."""

    def __init__(self, agents: AgentServers, environments: ClientEnvironments) -> None:
        self._agents = agents
        self._environments = environments

    async def initialize(self, sandbox: Sandbox, pod: Pod, class_: SandboxClass) -> Initialization | None:
        """Initialize the agent server of this pod. Returns the result; None if it should be tried again."""
        name = sandbox.metadata.name
        try:
            client = await self._environments.of(sandbox)
            await self._agents.init(address_of(sandbox, pod), pod.key_id, init_body(client, sandbox, class_))
        except (InitError, EnvironmentMissingError) as error:
            _log.warning("not initialized", sandbox=name, pod=pod.name, error=str(error))
            return Initialization(str(error))
        except FAILURES as error:
            # The Kubernetes API is not reachable, which is not the pod's fault.
            _log.warning("will be tried again", sandbox=name, error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
            return None
        except Exception:
            _log.exception("not initialized", sandbox=name)
            return Initialization("an unexpected error; the operator's log has the details")
        return Initialization()
