"""Agent servers that wait to be initialized for their sandboxes."""

import asyncio

import structlog

from sandbox_common.kube import FAILURES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers, InitError, address_of
from sandbox_operator.pools.deferred import Initialization, init_body
from sandbox_operator.pools.environments import EnvironmentMissingError, Environments
from sandbox_operator.watching.pods import Pod

_RETRY_SECONDS = 1.0

type Run = tuple[str, int]
"""UID of a pod, and how often its container has been restarted: a restarted agent server is another one."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def run_of(pod: Pod) -> Run:
    """The pod's present run."""
    return pod.uid, pod.container.restarts if pod.container else 0


class Initializer:
    """Gives agent servers that wait to be initialized their sandboxes' environments."""

    def __init__(self, agents: AgentServers, environments: Environments) -> None:
        self._agents = agents
        self._environments = environments

    async def initialize(self, sandbox: Sandbox, pod: Pod, class_: SandboxClass) -> Initialization | None:
        """Initialize the agent server of this pod; gives what has come of it, None when it is to be tried again."""
        name = sandbox.metadata.name
        try:
            client = await self._environments.of(sandbox)
            await self._agents.init(address_of(sandbox, pod), pod.key_id, init_body(client, sandbox, class_))
        except (InitError, EnvironmentMissingError) as error:
            _log.warning("not initialized", sandbox=name, pod=pod.name, error=str(error))
            return Initialization(str(error))
        except FAILURES as error:
            # The Kubernetes API is out of reach, for which the pod is not to blame.
            _log.warning("will be tried again", sandbox=name, error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
            return None
        except Exception:
            _log.exception("not initialized", sandbox=name)
            return Initialization("something went wrong; the operator's log says what")
        return Initialization()
