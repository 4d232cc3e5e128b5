"""The lists of images of a namespace and their pods, as last seen."""

from collections.abc import Callable, Collection

from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import PODS, SANDBOX_IMAGES
from sandbox_crds.api import IMAGES_LABEL
from sandbox_crds.models import SandboxImages
from sandbox_operator.images.keepers import Keeper, decode


class ImageWatch:
    """Follows both. `on_change(name)` is called when a list is new, changed or gone, or has other pods than before."""

    def __init__(self, client: KubeClient, namespace: str, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._by_list: dict[str, dict[str, Keeper]] = {}
        self._lists_of: dict[str, str] = {}
        # Both informers are apart from what the operator waits for: where the definition is not installed, it works on.
        self.lists: Informer[SandboxImages] = Informer(
            client, SANDBOX_IMAGES, namespace, SandboxImages.model_validate, on_change=lambda name, _: on_change(name)
        )
        self.pods: Informer[Keeper] = Informer(
            client, PODS, namespace, decode, label_selector=IMAGES_LABEL, on_change=self._pod_changed
        )

    @property
    def synced(self) -> bool:
        """Whether all have been read once."""
        return self.lists.synced and self.pods.synced

    def keepers(self, name: str) -> Collection[Keeper]:
        """The pods of the list of this name."""
        return self._by_list.get(name, {}).values()

    def nodes_changed(self) -> None:
        """The nodes are others, or have other images: each list is to be looked at."""
        for item in self.lists:
            self._on_change(item.metadata.name)

    def _pod_changed(self, name: str, keeper: Keeper | None) -> None:
        if of := self._lists_of.pop(name, ""):
            pods = self._by_list[of]
            pods.pop(name)
            if not pods:
                del self._by_list[of]
        if keeper:
            self._by_list.setdefault(keeper.of, {})[name] = keeper
            self._lists_of[name] = keeper.of
        for each in {of, keeper.of if keeper else ""} - {""}:
            self._on_change(each)
