"""Pull Secrets of owners, which their pods have besides those of the class. Only their names are read."""

from collections import defaultdict

from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import SECRETS_METADATA
from sandbox_common.pull_secrets import MOST, OF_TYPE
from sandbox_crds.api import PULL_SECRET_LABEL
from sandbox_crds.names import owner_label


class PullSecrets:
    """Follows the pull Secrets of one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.informer: Informer[tuple[str, str]] = Informer(
            client,
            SECRETS_METADATA,
            namespace,
            _decode,
            label_selector=PULL_SECRET_LABEL,
            field_selector=OF_TYPE,
            on_change=self._changed,
        )
        self._by_label: dict[str, list[str]] | None = None

    def of(self, owner: str) -> tuple[str, ...]:
        """Names of this owner's pull Secrets. A sandbox without an owner has none."""
        if not owner:
            return ()
        if self._by_label is None:
            self._by_label = defaultdict(list)
            for name, label in sorted(self.informer):
                self._by_label[label].append(name)
        return tuple(self._by_label.get(owner_label(owner), [])[:MOST])

    def _changed(self, _: str, __: tuple[str, str] | None) -> None:
        self._by_label = None


def _decode(secret: KubeObject) -> tuple[str, str]:
    """Its name, and its label, which names the owner."""
    metadata = secret["metadata"]
    return metadata["name"], metadata["labels"][PULL_SECRET_LABEL]
