#!/opt/agent-server/bin/python -P
"""Starts the agent server with less work before it serves.

- Python looks for garbage only among new objects. A full collection visits all objects. While modules are imported,
  nearly all of them stay, and each time that there are a quarter more, Python collects again. What is there when the
  server listens stays as well, so later collections do not visit it.
- Models of libraries are built when they are first used, which for most is never (pydantic's `defer_build`).
- It listens before it imports anything, so a probe that comes meanwhile is answered as soon as the server serves.
  Otherwise the probe would fail, and the kubelet would only try again a second later.
- What the first command would wait for is done as soon as it serves: FastAPI builds the routes of a router when it
  first looks for one, and anyio loads its part for asyncio when it is first used.
"""

import argparse
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

_DEFERRED = ("acp.", "fastapi.openapi.", "litellm.", "mcp.")
"""Modules whose models wait. The agent server's own ones do not: it makes types from them while it starts."""
_NEVER = 1_000_000
"""So many collections of younger objects come before a full one."""

_KEYS = ("SESSION_API_KEY", "OH_SESSION_API_KEYS_0")
_BACKLOG = 2048
"""As uvicorn's own."""


def load(options: Sequence[str]) -> ModuleType:
    """Import the agent server, and listen where these options of it say. Its `main` starts it."""
    listening = _listen(options)
    usual = gc.get_threshold()
    gc.set_threshold(*usual[:2], _NEVER)
    with suppress(ImportError, AttributeError):  # another version may have it elsewhere
        _defer_models()
    import uvicorn
    from openhands.agent_server import __main__

    startup = uvicorn.Server.startup

    async def start(self: uvicorn.Server, **_: Any) -> None:
        config = self.config
        if listening and listening.getsockname()[:2] == (config.host, config.port):
            await startup(self, [listening])
            logging.getLogger("uvicorn.error").info("Uvicorn running on http://%s:%d", config.host, config.port)
        else:
            if listening:
                listening.close()
            await startup(self)
        gc.freeze()
        gc.set_threshold(*usual)
        threading.Thread(target=_prepare, daemon=True).start()

    uvicorn.Server.startup = start
    return __main__


def _listen(options: Sequence[str]) -> socket.socket | None:
    """As the agent server does, which without a key listens to its own machine only. None: left to it."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--host", default="0.0.0.0" if any(map(os.environ.get, _KEYS)) else None)  # noqa: S104
    parser.add_argument("--port", type=int)
    with suppress(argparse.ArgumentError, OSError, OverflowError):  # the agent server reports it
        found, _ = parser.parse_known_args(options)
        if found.host and found.port:
            family = socket.AF_INET6 if ":" in found.host else socket.AF_INET
            return socket.create_server((found.host, found.port), family=family, backlog=_BACKLOG)
    return None


def _prepare() -> None:
    with suppress(ImportError, AttributeError):  # as below
        import anyio._backends._asyncio  # noqa: F401
        from openhands.agent_server.api import api

        for route in api.routes:
            route.matches({"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": []})


def _defer_models() -> None:
    from pydantic._internal._config import ConfigWrapper

    original = ConfigWrapper.for_model

    def for_model(bases: tuple[type, ...], namespace: Mapping[str, Any], *rest: Any) -> ConfigWrapper:
        wrapper = original(bases, namespace, *rest)
        if f"{namespace.get('__module__')}.".startswith(_DEFERRED):
            wrapper.config_dict.setdefault("defer_build", True)
        return wrapper

    ConfigWrapper.for_model = for_model


if __name__ == "__main__":
    load(sys.argv[1:]).main()
