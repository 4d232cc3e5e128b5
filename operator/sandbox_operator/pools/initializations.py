"""Agent servers that wait to be initialized, told whom they are for, beside the workers."""

import asyncio
from collections.abc import Callable

import aiohttp
import structlog

from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers, InitError, address_of
from sandbox_operator.pools.deferred import Initialization, init_body
from sandbox_operator.pools.environments import EnvironmentMissingError, Environments
from sandbox_operator.watching.pods import Pod

AT_ONCE = 256
"""Agent servers that are being initialized."""

_RETRY_SECONDS = 1.0

type _Run = tuple[str, int]
"""UID of a pod, and how often its container has been restarted."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Initializations:
    """`over(key)` is called when an agent server has been initialized, or not. A restarted one is another one."""

    def __init__(self, agents: AgentServers, environments: Environments, over: Callable[[str], None]) -> None:
        self._agents = agents
        self._environments = environments
        self._over = over
        self._under_way: dict[_Run, asyncio.Task[None]] = {}
        self._results: dict[str, tuple[_Run, Initialization]] = {}

    def begin(self, key: str, sandbox: Sandbox, pod: Pod, class_: SandboxClass) -> bool:
        """Initialize the agent server of this pod, unless that is under way. False when too many are under way."""
        run = _run(pod)
        if run not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return False
            self._under_way[run] = asyncio.create_task(self._initialize(key, sandbox, pod, class_))
        return True

    def result(self, key: str, pod: Pod) -> Initialization | None:
        """What has come of it for the pod's present run; None when it was not tried, or is to be tried again."""
        run, result = self._results.get(key, (None, None))
        return result if run == _run(pod) else None

    def forget(self, key: str) -> None:
        """Drop what is known of this sandbox."""
        self._results.pop(key, None)

    async def _initialize(self, key: str, sandbox: Sandbox, pod: Pod, class_: SandboxClass) -> None:
        try:
            client = await self._environments.of(sandbox)
            await self._agents.init(address_of(sandbox, pod), pod.key_id, init_body(client, sandbox, class_))
            self._results[key] = (_run(pod), Initialization())
        except (InitError, EnvironmentMissingError) as error:
            _log.warning("not initialized", sandbox=key, pod=pod.name, error=str(error))
            self._results[key] = (_run(pod), Initialization(str(error)))
        except (ApiError, aiohttp.ClientError, OSError) as error:
            # The Kubernetes API is out of reach, for which the pod is not to blame.
            _log.warning("will be tried again", sandbox=key, error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
        except Exception:
            _log.exception("not initialized", sandbox=key)
            self._results[key] = (_run(pod), Initialization("something went wrong; the operator's log says what"))
        finally:
            del self._under_way[_run(pod)]
        self._over(key)


def _run(pod: Pod) -> _Run:
    return pod.uid, pod.container.restarts if pod.container else 0
