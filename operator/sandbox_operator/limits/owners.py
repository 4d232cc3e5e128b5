"""The limits in force, from the Secrets of API keys."""

from collections.abc import Callable

import structlog

from sandbox_common.api_keys import ApiKey, Limits, decode, limits_by_owner
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.api import API_KEY_LABEL

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_NONE = Limits()


class OwnerLimits:
    """Limits by owner. `on_change()` is called when they may have changed."""

    def __init__(self, client: KubeClient, namespace: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.keys: Informer[ApiKey] = Informer(
            client, SECRETS, namespace, self._decode, label_selector=f"{API_KEY_LABEL}=true", on_change=self._changed
        )
        self._limits: dict[str, Limits] | None = None

    def of(self, owner: str) -> Limits:
        """The limits of this owner; no limits if it has no key."""
        if self._limits is None:
            self._limits = limits_by_owner(self.keys)
        return self._limits.get(owner, _NONE)

    def _decode(self, secret: KubeObject) -> ApiKey:
        try:
            return decode(secret)
        except ValueError as error:
            # A typing error must not lift the limits of running sandboxes. The gateway no longer accepts this key.
            if known := self.keys.get(secret["metadata"]["name"]):
                _log.warning("API key cannot be read, its last limits apply", name=known.name, error=str(error))
                return known
            raise

    def _changed(self, _: str, __: ApiKey | None) -> None:
        # Computed again when next asked for, and not for each object of a long list.
        self._limits = None
        self._on_change()
