"""The gateway's data plane without Kubernetes: `python -m bench.proxy.ours PORT …`.

The listener as the gateway runs it, with its activity, its collector and the checks of session keys by the master key;
only who lives where comes from the command line instead of a cache.
"""

import asyncio
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import uvloop

from sandbox_common import collector
from sandbox_common.keys import MasterKeys
from sandbox_gateway.process.activity import Activity
from sandbox_gateway.proxy import listener
from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox, PodAddress, Service
from sandbox_gateway.proxy.meter import Entry

BACKENDS: tuple[str, ...] = ("http", "hello", "websocket", "sink")
"""nginx with files, uvicorn, an echo of WebSockets, and what takes uploads; their ports come in this order."""
KEYS = MasterKeys.of({1: b"0123456789abcdef0123456789abcdef"})
SESSION_KEYS = {name: KEYS.session_key(KEYS.key_id(name)) for name in BACKENDS}
"""By the backend that each leads to."""


class Few:
    """A directory of sandboxes by name and port."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._sandboxes = {
            KEYS.key_id(name): Endpoint(name, PodAddress("127.0.0.1", port, name, name)) for name, port in ports.items()
        }
        self._key_id = lru_cache(KEYS.verify)

    def find_by_session_key(self, session_api_key: str) -> Endpoint | NoSandbox:
        """By the key's id, which is checked as in the gateway."""
        return self._sandboxes.get(self._key_id(session_api_key) or "", NoSandbox.NOT_GENUINE)

    async def await_sandbox(self, session_api_key: str) -> None:
        """Is never called: none is unknown."""
        raise NotImplementedError(session_api_key)

    def find_by_runtime_id(self, runtime_id: str) -> Endpoint | None:
        """Host mode is off."""
        raise NotImplementedError(runtime_id)

    def find_service(self, label: str) -> Service | None:
        """Host mode is off."""
        raise NotImplementedError(label)

    def opens(self, session_api_key: str, runtime_id: str) -> bool:
        """Host mode is off."""
        raise NotImplementedError(session_api_key, runtime_id)

    def owner_of_api_key(self, api_key: str) -> str | None:
        """There is no Runtime API."""
        raise NotImplementedError(api_key)


class NoWaker:
    """Nobody sleeps."""

    async def wake(self, runtime_id: str) -> None:
        """Is never called."""
        raise NotImplementedError(runtime_id)


class NoLog:
    """Implements `meter.AccessLog`: nothing fails."""

    everything = False

    def new_span(self) -> str:
        """Make no span."""
        return ""

    def take(self, entry: Entry) -> None:
        """Is never called."""
        raise NotImplementedError(entry)


async def _is_there(_: PodAddress) -> str:
    """All backends keep their addresses."""
    return ""


async def _serve(port: int, *backends: int) -> None:
    collector.postpone()
    await listener.serve(
        "127.0.0.1",
        port,
        directory=Few(dict(zip(BACKENDS, backends, strict=True))),
        activity=Activity(),
        waker=NoWaker(),
        access_log=NoLog(),
        ask=_is_there,
        control_socket=Path("/nobody"),
        base_domain="",
        bounds=Bounds(websockets_per_sandbox=1_000_000),  # all of them are of one
    )
    collector.settle()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
