"""Agent servers that wait to be initialized for their sandboxes, beside the workers."""

import asyncio
from collections.abc import Callable

import structlog

from sandbox_common.kube import FAILURES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers, InitError, address_of
from sandbox_operator.pools.deferred import Initialization, init_body
from sandbox_operator.pools.environments import EnvironmentMissingError, Environments
from sandbox_operator.watching.pods import Pod

AT_ONCE = 256
"""Agent servers that are being initialized."""

_RETRY_SECONDS = 1.0

type Run = tuple[str, int]
"""UID of a pod, and how often its container has been restarted: a restarted agent server is another one."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def run_of(pod: Pod) -> Run:
    """The pod's present run."""
    return pod.uid, pod.container.restarts if pod.container else 0


class Initializations:
    """Those under way, by the runs of their pods."""

    def __init__(self, agents: AgentServers, environments: Environments) -> None:
        self._agents = agents
        self._environments = environments
        self._under_way: dict[Run, asyncio.Task[None]] = {}

    def begin(
        self, sandbox: Sandbox, pod: Pod, class_: SandboxClass, over: Callable[[Initialization | None], None]
    ) -> bool:
        """Initialize the agent server of this pod, unless that is under way. False when too many are under way.

        `over` is called with what has come of it; None when it is to be tried again.
        """
        run = run_of(pod)
        if run not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return False
            self._under_way[run] = asyncio.create_task(self._initialize(sandbox, pod, class_, over))
        return True

    async def _initialize(
        self, sandbox: Sandbox, pod: Pod, class_: SandboxClass, over: Callable[[Initialization | None], None]
    ) -> None:
        name, result = sandbox.metadata.name, None
        try:
            client = await self._environments.of(sandbox)
            await self._agents.init(address_of(sandbox, pod), pod.key_id, init_body(client, sandbox, class_))
            result = Initialization()
        except (InitError, EnvironmentMissingError) as error:
            _log.warning("not initialized", sandbox=name, pod=pod.name, error=str(error))
            result = Initialization(str(error))
        except FAILURES as error:
            # The Kubernetes API is out of reach, for which the pod is not to blame.
            _log.warning("will be tried again", sandbox=name, error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception:
            _log.exception("not initialized", sandbox=name)
            result = Initialization("something went wrong; the operator's log says what")
        finally:
            del self._under_way[run_of(pod)]
        over(result)
