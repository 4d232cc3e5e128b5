"""What the gateway has to know of SandboxClasses."""

from sandbox_crds.kube import Informer, KubeClient
from sandbox_crds.kube.resources import SANDBOX_CLASSES
from sandbox_crds.models import SandboxClass


class SandboxClasses:
    """The classes of one namespace. Nothing waits for them: what is not known has the defaults."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._informer = Informer(client, SANDBOX_CLASSES, namespace, SandboxClass.model_validate)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        await self._informer.run()

    def wakes_on_websocket(self, name: str) -> bool:
        """Whether a WebSocket handshake wakes idle sandboxes of this class."""
        class_ = self._informer.get(name)
        return class_ is not None and class_.spec.wake_on_web_socket
