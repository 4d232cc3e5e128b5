"""Follows the nodes if a ClusterRole allows it. Without one, all nodes count as fit."""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
import structlog

from sandbox_common.kube import ApiError, Informer, KubeClient
from sandbox_common.kube.resources import NODES
from sandbox_operator.watching.nodes import Node, decode
from sandbox_operator.watching.pods import Pod

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_NO_RIGHT_SECONDS = 600.0
"""Between two attempts to read nodes without the right: somebody may have granted it meanwhile."""


class Nodes:
    """The nodes as last seen. `on_change(name)` is called when a node is new or gone, or when its fitness changes.

    `on_report(name)` is called for each report of a node, too.
    """

    def __init__(
        self,
        client: KubeClient,
        on_change: Callable[[str], None] = lambda _: None,
        on_report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._on_report = on_report
        self._on_change = on_change
        self._known: dict[str, Node] = {}
        self.informer: Informer[Node] = Informer(client, NODES, "", decode, on_change=self._changed)

    def unfit(self, pod: Pod) -> str:
        """Why the pod's node takes no more such pods, in a few words; "" if it does, or is unknown."""
        node = self._known.get(pod.node)
        return node.unfit(pod.tolerations) if node else ""

    def matching(self, labels: Mapping[str, str]) -> list[Node]:
        """The nodes with these labels, by name."""
        found = [node for node in self._known.values() if labels.items() <= node.labels.items()]
        return sorted(found, key=lambda node: node.name)

    async def run(self) -> None:
        """Follow the nodes until cancelled, once the right to read them exists."""
        reported = False
        while not await self._may_read():
            if not reported:
                _log.warning(
                    "nodes may not be read", remedy="the operator needs a ClusterRole: list and watch of nodes"
                )
            reported = True
            await asyncio.sleep(_NO_RIGHT_SECONDS)
        await self.informer.run()

    async def _may_read(self) -> bool:
        while True:
            try:
                await self._client.list(NODES, "", limit="1")
            except ApiError as error:
                if error.code == 403:
                    return False
            except (aiohttp.ClientError, OSError) as error:
                _log.info("nodes not read yet", error=str(error) or type(error).__name__)
            else:
                return True
            await asyncio.sleep(_RETRY_SECONDS)

    def _changed(self, name: str, node: Node | None) -> None:
        # Most of the kubelets' reports, every few minutes, change nothing that matters here.
        before = self._known.pop(name, None)
        if node:
            self._known[name] = node
        if before != node:
            self._on_change(name)
        self._on_report(name)
