"""The data plane's directory, answered from the cache."""

import asyncio
from dataclasses import replace
from functools import lru_cache

from sandbox_common import service_ports
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_common.sandboxes.specs import is_idle
from sandbox_common.sandboxes.view import current_condition, is_reachable, is_seen, with_reason
from sandbox_crds import names
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox, Service
from sandbox_gateway.routing.wake import Wakes
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.health import address

_VERIFIED_KEYS = 16_384
_LAG_SECONDS = 1.0
"""How far this replica's watch may be behind another replica that gave a client the key of a new sandbox."""

_IDLE = (
    "The sandbox is suspended, since it was idle. An HTTP request with its key in X-Session-API-Key wakes it (a health "
    "check does not); POST /resume wakes it too."
)
_PAUSED = "The sandbox is paused. Resume it with POST /resume."
_UNREADY = "The sandbox is not ready."
_NOT_DECLARED = (
    "Sandbox {sandbox} declares no port for {service}. Give it one in servicePorts of its SandboxClass, and see that "
    "servicePorts of the Sandbox do not take it away."
)
_PENDING = f"The sandbox is starting: {MEANINGS[Reason.PENDING].text}"


class _NotGenuineError(Exception):
    """The text is not a session key of this gateway."""


class CacheDirectory:
    """A `Directory` over the sandbox cache."""

    def __init__(
        self,
        keys: MasterKeys,
        cache: SandboxCache,
        classes: SandboxClasses,
        wakes: Wakes,
        api_keys: ApiKeys,
    ) -> None:
        self._keys = keys
        self._cache = cache
        self._classes = classes
        self._wakes = wakes
        self._api_keys = api_keys
        # Exceptions are not cached, so made-up keys cannot displace genuine ones.
        self._key_id = lru_cache(_VERIFIED_KEYS)(self._verify)
        self._settled: dict[str, tuple[Sandbox, Endpoint]] = {}
        """Endpoints that stay valid until the Sandbox changes. Nearly every request asks for one of them."""
        cache.listen(self._on_change)

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        """The sandbox of this key, or why there is none."""
        try:
            key_id = self._key_id(session_api_key)
        except _NotGenuineError:
            return NoSandbox.NOT_GENUINE
        sandbox = self._cache.find_by_key_id(key_id)
        if sandbox is not None:
            return self._endpoint(sandbox)
        return NoSandbox.GONE if self._cache.is_former(key_id) else NoSandbox.UNKNOWN

    async def await_sandbox(self, session_api_key: str) -> None:
        """Return when the sandbox of this genuine key is known, or after some seconds.

        It then counts as gone, but only if this replica knows all Sandboxes: while it cannot reach the API server, the
        sandbox may exist.
        """
        key_id = self._key_id(session_api_key)
        try:
            async with asyncio.timeout(_LAG_SECONDS):
                await self._cache.await_key_id(key_id)
        except TimeoutError:
            if await self._cache.is_current():
                self._cache.give_up(key_id)

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """The sandbox of this name (lower case), or None when there is none."""
        sandbox = self._cache.get(runtime_id)
        return self._endpoint(sandbox) if sandbox else None

    def find_service(self, label: str) -> Service | None:
        """The service of this first label of a host (lower case); None when it is no service's.

        No Sandbox's name begins with a service's name, so such a label is never a sandbox's own.
        """
        named = names.service_of(label)
        if named is None:
            return None
        service, name = named
        sandbox = self._cache.get(name)
        if sandbox is None:
            return Service(service, None, f"There is no sandbox {name}.")
        port = service_ports.present(sandbox, self._classes.spec(sandbox.spec.class_name)).get(service)
        if port is None:
            return Service(service, None, _NOT_DECLARED.format(service=service, sandbox=name))
        endpoint = self._endpoint(sandbox)
        if endpoint.address is None:
            return Service(service, endpoint)
        return Service(service, replace(endpoint, address=endpoint.address._replace(port=port)))

    def opens(self, session_api_key: str, runtime_id: str) -> bool:
        """Whether this is the genuine key of the sandbox of this name."""
        try:
            sandbox = self._cache.find_by_key_id(self._key_id(session_api_key))
        except _NotGenuineError:
            return False
        return sandbox is not None and sandbox.metadata.name == runtime_id

    def owner_of_api_key(self, api_key: str) -> str | None:
        """The owner of the API key with this text, which may be empty; None if there is no such key."""
        key = self._api_keys.find(api_key) if api_key else None
        return None if key is None else key.owner

    def _verify(self, session_api_key: str) -> str:
        key_id = self._keys.verify(session_api_key)
        if key_id is None:
            raise _NotGenuineError
        return key_id

    def _on_change(self, name: str, _: Sandbox | None) -> None:
        self._settled.pop(name, None)

    def _endpoint(self, sandbox: Sandbox) -> Endpoint:
        name = sandbox.metadata.name
        settled = self._settled.get(name)
        if settled is not None and settled[0] is sandbox:
            return settled[1]
        owner = sandbox.spec.owner
        if sandbox.spec.suspend:
            return self._sleeping(sandbox, _IDLE) if is_idle(sandbox) else Endpoint(name, None, _PAUSED, owner=owner)
        condition = current_condition(sandbox, left=self._cache.suspensions.has_left(sandbox))
        if condition is not None and is_reachable(sandbox):
            endpoint = Endpoint(name, address(sandbox), owner=owner)
            if is_seen(sandbox):
                self._settled[name] = sandbox, endpoint
            return endpoint
        if condition is None:
            detail, cause, passing = _PENDING, "", Passing.STARTING
        else:
            detail, cause, passing = (
                _UNREADY,
                with_reason(condition.reason, condition.message),
                _passing(condition.reason),
            )
        if self._wakes.under_way(name):
            return self._sleeping(sandbox, detail, cause, passing)
        return Endpoint(name, None, detail, cause, passing=passing, owner=owner)

    def _sleeping(self, sandbox: Sandbox, detail: str, cause: str = "", passing: Passing | None = None) -> Endpoint:
        on_websocket = self._classes.spec(sandbox.spec.class_name).wake_on_web_socket
        return Endpoint(
            sandbox.metadata.name,
            None,
            detail,
            cause,
            wakes=True,
            wakes_on_websocket=on_websocket,
            passing=passing,
            owner=sandbox.spec.owner,
        )


def _passing(reason: str) -> Passing | None:
    """Why a sandbox with this reason may become ready by itself; None if it cannot."""
    final = reason in Reason and MEANINGS[Reason(reason)].lifecycle == "error"
    return None if final else Passing.STARTING
