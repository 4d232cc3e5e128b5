"""The limits in force, followed in the Secrets of API keys."""

from collections.abc import Callable

from sandbox_crds.api import API_KEY_LABEL
from sandbox_crds.api_keys import ApiKey, Limits, decode, limits_by_owner
from sandbox_crds.kube import Informer, KubeClient
from sandbox_crds.kube.resources import SECRETS

_NONE = Limits()


class OwnerLimits:
    """Limits by owner. `on_change()` is called when they may have changed."""

    def __init__(self, client: KubeClient, namespace: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.keys: Informer[ApiKey] = Informer(
            client, SECRETS, namespace, decode, label_selector=f"{API_KEY_LABEL}=true", on_change=self._changed
        )
        self._limits: dict[str, Limits] = {}

    def of(self, owner: str) -> Limits:
        """Those of this owner; none for one that has no key."""
        return self._limits.get(owner, _NONE)

    def _changed(self, _: str, __: ApiKey | None) -> None:
        self._limits = limits_by_owner(self.keys)
        self._on_change()
