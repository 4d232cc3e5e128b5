"""What the gateway knows of SandboxClasses."""

from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES
from sandbox_crds.models import SandboxClass, SandboxClassSpec

_UNKNOWN = SandboxClassSpec()


class SandboxClasses:
    """The classes of one namespace. Unknown ones have the defaults, since few callers wait for the first list."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.informer = Informer(client, SANDBOX_CLASSES, namespace, SandboxClass.model_validate)

    def spec(self, name: str) -> SandboxClassSpec:
        """The class of this name."""
        return self.find(name) or _UNKNOWN

    def find(self, name: str) -> SandboxClassSpec | None:
        """The class of this name; None when there is none."""
        class_ = self.informer.get(name)
        return None if class_ is None else class_.spec
