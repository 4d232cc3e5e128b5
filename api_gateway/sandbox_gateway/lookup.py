"""The data plane's directory, answered from the cache."""

from functools import lru_cache

from sandbox_crds.keys import MasterKeys
from sandbox_crds.models import Sandbox
from sandbox_crds.reasons import MEANINGS, Reason
from sandbox_gateway.cache import SandboxCache
from sandbox_gateway.directory import Endpoint, NoSandbox
from sandbox_gateway.health import address
from sandbox_gateway.view import explain

_VERIFIED_KEYS = 16_384


class _NotGenuineError(Exception):
    """The text is no session key of this gateway."""


class CacheDirectory:
    """A `Directory` over the sandbox cache."""

    def __init__(self, keys: MasterKeys, cache: SandboxCache) -> None:
        self._keys = keys
        self._cache = cache
        # Exceptions are not cached, so made-up keys cannot push genuine ones out.
        self._key_id = lru_cache(_VERIFIED_KEYS)(self._verify)

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        """The sandbox that this key opens, or why there is none."""
        try:
            key_id = self._key_id(session_api_key)
        except _NotGenuineError:
            return NoSandbox.NOT_GENUINE
        sandbox = self._cache.find_by_key_id(key_id)
        return _endpoint(sandbox) if sandbox else NoSandbox.GONE

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """The sandbox of this name (lower case), or None when there is none."""
        sandbox = self._cache.get(runtime_id)
        return _endpoint(sandbox) if sandbox else None

    def _verify(self, session_api_key: str) -> str:
        key_id = self._keys.verify(session_api_key)
        if key_id is None:
            raise _NotGenuineError
        return key_id


def _endpoint(sandbox: Sandbox) -> Endpoint:
    name = sandbox.metadata.name
    condition = sandbox.status.condition("Ready")
    if sandbox.spec.suspend:
        return Endpoint(name, None, "The sandbox is paused. Resume it with POST /resume.")
    if condition is None:
        return Endpoint(name, None, f"The sandbox is starting: {MEANINGS[Reason.PENDING].text}")
    if condition.status == "True" and sandbox.status.pod_ip:
        return Endpoint(name, address(sandbox))
    return Endpoint(name, None, f"The sandbox is not ready. {explain(condition.reason, condition.message)}")
