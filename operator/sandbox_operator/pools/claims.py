"""Claims of warm pods. A claim is one API request; only pools with deferred initialization need more to find a pod."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime

import structlog

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool, SandboxSpec
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.client_environments import ClientEnvironments, EnvironmentMissingError
from sandbox_operator.pools.deferred import fixed_differences
from sandbox_operator.pools.matching import Miss, MissReason, miss, obstacle
from sandbox_operator.pools.metrics import CLAIMS, MISSES
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.pools.template import sandbox_spec, template, usable_environment
from sandbox_operator.reporting.refusals import refusal_of
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.store import Store

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Claims:
    """Claims pods of `pod_index`. `started(pool)` is called for each claim, and for each start that found it empty."""

    def __init__(
        self,
        api: PoolApi,
        environments: ClientEnvironments,
        keys: MasterKeys,
        pod_index: PodIndex,
        pools: Store[SandboxPool],
        started: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._api = api
        self._environments = environments
        self._keys = keys
        self._pod_index = pod_index
        self._pools = pools
        self._started = started

    async def claim(self, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> Pod | Miss:
        """The pod that the sandbox has claimed, or why there is none. Call it once for each sandbox.

        Raises what PoolApi raises. The claim may have succeeded nevertheless; the cache will show that.
        """
        reason = obstacle(sandbox) if len(self._pools) else Miss(MissReason.NO_POOL)
        outcome = reason or await self._claim(sandbox, class_, now)
        if isinstance(outcome, Miss):
            MISSES.labels(outcome.reason).inc()
        else:
            CLAIMS.labels(outcome.pool).inc()
        if outcome.pool:
            self._started(outcome.pool)
        return outcome

    async def take_volume(self, pod: Pod, sandbox: Sandbox) -> Miss | None:
        """Take over the volume of the sandbox's claimed pod. None if the sandbox has it; otherwise the pod is lost.

        Raises what PoolApi raises. It may have succeeded nevertheless; call it again.
        """
        failure = await self._api.take_volume(pod, sandbox)
        return Miss(MissReason.VOLUME_FAILED, failure) if failure else None

    async def return_volume(self, pod: Pod, sandbox: Sandbox) -> None:
        """Let the volume of a claimed pod that is about to be deleted go with it. Raises what PoolApi raises."""
        await self._api.return_volume(pod, sandbox)

    async def _claim(self, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> Pod | Miss:
        late: dict[str, tuple[str, ...]] = {}
        async for wanted in self._templates(sandbox, class_, late):
            try:
                pod = await self._take(wanted, sandbox, class_, now)
            except ApiError as error:
                if refusal_of(error) is None:
                    raise
                _log.warning("claim refused", sandbox=sandbox.metadata.name, error=str(error))
                return Miss(MissReason.OTHER, error.message)
            if pod:
                return pod
        return miss(sandbox, class_, self._pools, self._keys, late)

    async def _take(self, wanted: str, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> Pod | None:
        """Try one pod of this template after the other until a claim succeeds."""
        busy: set[str] = set()

        def is_usable(pod: Pod) -> bool:
            return pod.uid not in busy and self._is_usable(pod)

        while True:
            with self._pod_index.reserve(wanted, is_usable) as reservation:
                if reservation is None:
                    return None
                try:
                    claimed = await self._api.claim(reservation.pod, sandbox, class_, now)
                except ApiError as error:
                    if error.code != 409:
                        raise
                    # Others change this pod all the time.
                    busy.add(reservation.pod.uid)
                    continue
                reservation.taken = True
                if claimed:
                    return decode(claimed)

    def _is_usable(self, pod: Pod) -> bool:
        """Whether the pod's key can still be derived. The pool replaces pods whose key cannot."""
        return self._keys.knows(pod.key_id)

    async def _templates(
        self, sandbox: Sandbox, class_: SandboxClass, late: dict[str, tuple[str, ...]]
    ) -> AsyncIterator[str]:
        """Templates of pods that fit, best first. Fills `late` as `miss` expects it."""
        yield template(sandbox.spec, class_)
        deferred = [pool for pool in self._pools if pool.spec.deferred_init]
        if not deferred:
            return
        yield template(sandbox.spec, class_, deferred=True)
        offers = {pool.metadata.name: sandbox_spec(pool, self._keys) for pool in deferred}
        bare = _bare(sandbox.spec, class_)
        alike = [pool for pool in deferred if _bare(offers[pool.metadata.name], class_) == bare]
        client = await self._environment(sandbox) if alike else None
        if client is None:
            return
        for pool in alike:
            too_late = fixed_differences(usable_environment(pool), client, sandbox, class_)
            late[pool.metadata.name] = too_late
            if not too_late:
                yield template(offers[pool.metadata.name], class_, deferred=True)

    async def _environment(self, sandbox: Sandbox) -> dict[str, str] | None:
        try:
            return await self._environments.of(sandbox)
        except EnvironmentMissingError as error:
            _log.warning("environment not found", sandbox=sandbox.metadata.name, error=str(error))
            return None


def _bare(spec: SandboxSpec, class_: SandboxClass) -> str:
    """The template without the environment."""
    return template(spec.model_copy(update={"environment_hash": ""}), class_)
