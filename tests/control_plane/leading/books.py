"""All that happens to pods, volume claims and Sandboxes of a namespace, and what must never happen to them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Self

from control_plane.pools.basin import Basin
from sandbox_common.kube import Informer, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, controller_uid, decode


class Books:
    """Keeps account of each change, by watches of its own."""

    def __init__(self, basin: Basin) -> None:
        self._basin = basin
        self._owners: dict[str, list[str]] = defaultdict(list)
        self._keys: dict[str, set[str]] = defaultdict(set)
        self._pods: Informer[KubeObject] = Informer(
            basin.client, PODS, basin.namespace, lambda item: item, label_selector=SANDBOX_LABEL, on_change=self._pod
        )
        self._sandboxes: Informer[KubeObject] = Informer(
            basin.client, SANDBOXES, basin.namespace, lambda item: item, on_change=self._sandbox
        )
        self._volumes: Informer[KubeObject] = Informer(
            basin.client, VOLUME_CLAIMS, basin.namespace, lambda item: item, on_change=self._volume
        )
        self.claims = 0
        """How many pods of pools were claimed."""
        self.volumes = 0
        """How many volumes of pools were."""
        self.surplus = 0
        """How often a Sandbox had one pod more than one at the same time."""

    @classmethod
    @asynccontextmanager
    async def kept(cls, basin: Basin) -> AsyncGenerator[Self]:
        """Meanwhile all is noted."""
        books = cls(basin)
        informers = (books._pods, books._sandboxes, books._volumes)
        tasks = [asyncio.create_task(informer.run()) for informer in informers]
        try:
            await asyncio.gather(*(informer.wait_synced() for informer in informers))
            yield books
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _pod(self, _: str, pod: KubeObject | None) -> None:
        if pod is None:
            return
        if self._is_handed_over(pod):
            uid, owner = pod["metadata"]["uid"], controller_uid(pod)
            self.claims += len(self._owners[uid]) > 1
            others = [other for other in self._pods if controller_uid(other) == owner and other is not pod]
            others = [other for other in others if other["metadata"]["uid"] != uid]
            self.surplus += bool(pod["metadata"]["labels"][SANDBOX_LABEL] and others)

    def _volume(self, _: str, claim: KubeObject | None) -> None:
        if claim and self._is_handed_over(claim):
            self.volumes += len(self._owners[claim["metadata"]["uid"]]) > 1

    def _is_handed_over(self, item: KubeObject) -> bool:
        """Note the item's owner; whether it is a new one."""
        owners, owner = self._owners[item["metadata"]["uid"]], controller_uid(item)
        if owners and owners[-1] == owner:
            return False
        owners.append(owner)
        return True

    def _sandbox(self, _: str, item: KubeObject | None) -> None:
        if item and (key := item.get("status", {}).get("keyID")):
            self._keys[item["metadata"]["uid"]].add(key)

    def __str__(self) -> str:
        return f"{self.claims} claims of pods, {self.volumes} of volumes"

    def check(self) -> None:
        """No pod or volume was ever given away twice or taken back, and no Sandbox had ever two keys."""
        assert not {uid: owners for uid, owners in self._owners.items() if len(owners) > 2}
        assert not {uid: keys for uid, keys in self._keys.items() if len(keys) > 1}

    async def complaints(self, pools: Mapping[str, int]) -> list[str]:
        """What is not as the present Sandboxes and the pools, with so many free pods each, want it."""
        basin = self._basin
        sandboxes = [Sandbox.model_validate(item) for item in await self._list(SANDBOXES)]
        pods, secrets, volumes = [await self._list(resource) for resource in (PODS, SECRETS, VOLUME_CLAIMS)]
        pods = [pod for pod in pods if SANDBOX_LABEL in pod["metadata"].get("labels", {})]
        uids = {name: (await basin.pool(name)).metadata.uid for name in pools}
        living = {sandbox.metadata.uid for sandbox in sandboxes} | set(uids.values())
        living |= {pod["metadata"]["uid"] for pod in pods}
        found = [
            f"{item['metadata']['name']} is an orphan"
            for item in (*pods, *secrets, *volumes)
            if controller_uid(item) not in living
        ]
        for name, replicas in pools.items():
            free = [pod for pod in pods if controller_uid(pod) == uids[name]]
            if len(free) != replicas or any("deletionTimestamp" in pod["metadata"] for pod in free):
                found.append(f"the pool {name} has {len(free)} pods")
        by_name = {secret["metadata"]["name"]: secret for secret in secrets}
        for sandbox in sandboxes:
            found += _about(sandbox, _of(sandbox, pods), _of(sandbox, volumes), by_name)
        return found

    async def _list(self, resource: Resource) -> list[KubeObject]:
        return (await self._basin.client.list(resource, self._basin.namespace))["items"]


def _of(sandbox: Sandbox, items: list[KubeObject]) -> list[KubeObject]:
    return [item for item in items if controller_uid(item) == sandbox.metadata.uid]


def _about(
    sandbox: Sandbox, pods: list[KubeObject], volumes: list[KubeObject], secrets: dict[str, KubeObject]
) -> list[str]:
    name, condition = sandbox.metadata.name, sandbox.status.condition(READY)
    reason = condition.reason if condition else "nothing"
    if sandbox.spec.suspend:
        asleep = reason == Reason.SUSPENDED and not pods
        return [] if asleep else [f"{name} is suspended, says {reason} and has {len(pods)} pods"]
    if reason != Reason.READY:
        return [f"{name} says {reason}"]
    uids = [pod["metadata"]["uid"] for pod in pods]
    if uids != [sandbox.status.pod_uid]:
        return [f"{name} has the pods {uids} and speaks of {sandbox.status.pod_uid}"]
    volume, owned = decode(pods[0]).volume_claim, [claim["metadata"]["name"] for claim in volumes]
    if (volume or sandbox.status.volume_claim) and volume not in {sandbox.status.volume_claim or volume} & set(owned):
        return [f"{name} has the volume {volume}, speaks of {sandbox.status.volume_claim} and owns {owned}"]
    secret = secrets.get(sandbox.status.pod_name)
    if secret is None or secret["metadata"]["annotations"][KEY_ID_ANNOTATION] != sandbox.status.key_id:
        return [f"{name} has not the Secret with its key"]
    return []
