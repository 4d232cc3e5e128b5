"""What the gateway has to know of SandboxClasses."""

from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES
from sandbox_crds.models import SandboxClass, SandboxClassSpec

_UNKNOWN = SandboxClassSpec()


class SandboxClasses:
    """The classes of one namespace. Nothing waits for them: what is not known has the defaults."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._informer = Informer(client, SANDBOX_CLASSES, namespace, SandboxClass.model_validate)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        await self._informer.run()

    async def wait_synced(self) -> None:
        """Return once the first list has been read, for who cannot do with the defaults."""
        await self._informer.wait_synced()

    def spec(self, name: str) -> SandboxClassSpec:
        """The class of this name."""
        return self.find(name) or _UNKNOWN

    def find(self, name: str) -> SandboxClassSpec | None:
        """The class of this name; None when there is none."""
        class_ = self._informer.get(name)
        return None if class_ is None else class_.spec
