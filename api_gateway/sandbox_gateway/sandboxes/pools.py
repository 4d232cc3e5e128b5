"""What SandboxPools keep ready, for clients that want to use it."""

import asyncio
from collections.abc import Collection

from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import SANDBOX_POOLS
from sandbox_crds.models import SandboxPool
from sandbox_gateway.contract.responses import WarmRuntimeConfig

_SYNC_SECONDS = 3.0


class Pools:
    """The pools of one namespace. A sandbox can claim pods of those of its class.

    The gateway also serves without them: a cluster may not have the resource yet after an upgrade.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.informer = Informer(client, SANDBOX_POOLS, namespace, SandboxPool.model_validate)

    async def configs(self, class_name: str) -> list[WarmRuntimeConfig]:
        """What a /start must ask for to get a warm pod of this class, by pool name; empty while pools are unknown."""
        fitting = await self.of_classes({class_name})
        return [config(pool) for pool in sorted(fitting, key=lambda pool: pool.metadata.name)]

    async def of_classes(self, classes: Collection[str] | None) -> list[SandboxPool]:
        """The pools of these classes, or all, in no order; none while pools are unknown."""
        try:
            async with asyncio.timeout(_SYNC_SECONDS):
                await self.informer.wait_synced()
        except TimeoutError:
            pass  # the informer has logged why
        return [pool for pool in self.informer if _is_of(pool, classes)]

    def may_fit(self, class_name: str) -> bool:
        """Whether a new sandbox of this class may find a warm pod."""
        return not self.informer.synced or any(_is_of(pool, {class_name}) for pool in self.informer)


def _is_of(pool: SandboxPool, classes: Collection[str] | None) -> bool:
    return (classes is None or pool.spec.class_name in classes) and not pool.metadata.deletion_timestamp


def config(pool: SandboxPool) -> WarmRuntimeConfig:
    """One pool in the form of the Runtime API."""
    spec = pool.spec
    return WarmRuntimeConfig(
        name=pool.metadata.name,
        ready=pool.status.ready_replicas,
        image=spec.image,
        # Kubernetes writes a plain `$` as `$$`, /start does not.
        command=[word.replace("$$", "$") for word in spec.command],
        environment=spec.environment,
        working_dir=spec.working_dir,
        run_as_user=spec.run_as_user,
        run_as_group=spec.run_as_group,
        fs_group=spec.fs_group,
    )
