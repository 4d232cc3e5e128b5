"""Reads the Kubernetes Events about a sandbox and about the objects with its pod's name."""

import asyncio
from itertools import chain

from sandbox_common.cluster_events import ClusterEvent, decode
from sandbox_common.kube import KubeClient, unreadable
from sandbox_common.kube.resources import EVENTS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import pod_name

_LIMIT = "500"


async def events_about(client: KubeClient, namespace: str, sandbox: Sandbox) -> list[ClusterEvent]:
    """The Events about this Sandbox, its pod and its volume claim, in no order. Raises what KubeClient raises.

    It costs two to four lists, each over all Events of the namespace.
    """
    name, uid = sandbox.metadata.name, sandbox.metadata.uid
    # The name that depends on the Sandbox's UID, and those of a pod claimed from a pool and of its volume claim.
    names = {pod_name(name, uid), sandbox.status.pod_name, sandbox.status.volume_claim} - {""}
    own, *of_pods = await asyncio.gather(*(_regarding(client, namespace, found) for found in (name, *names)))
    # Another Sandbox may have had this name before.
    return [*(event for event in own if event.uid == uid), *chain(*of_pods)]


async def _regarding(client: KubeClient, namespace: str, name: str) -> list[ClusterEvent]:
    answer = await client.list(EVENTS, namespace, fieldSelector=f"regarding.name={name}", limit=_LIMIT)
    return list(unreadable.decoded(EVENTS, answer["items"], decode))
