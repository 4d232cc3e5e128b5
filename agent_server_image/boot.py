#!/opt/agent-server/bin/python -P
"""Starts the agent server with less work before it serves.

- Python looks for garbage only among new objects. A full collection visits all objects. While modules are imported,
  nearly all of them stay, and each time that there are a quarter more, Python collects again. What is there when the
  server listens stays as well, so later collections do not visit it.
- Models of libraries are built when they are first used, which for most is never (pydantic's `defer_build`).
"""

import gc
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

_DEFERRED = ("acp.", "fastapi.openapi.", "litellm.", "mcp.")
"""Modules whose models wait. The agent server's own ones do not: it makes types from them while it starts."""
_NEVER = 1_000_000
"""So many collections of younger objects come before a full one."""


def load() -> ModuleType:
    """Import the agent server. Its `main` starts it."""
    usual = gc.get_threshold()
    gc.set_threshold(*usual[:2], _NEVER)
    with suppress(ImportError, AttributeError):  # another pydantic may have it elsewhere
        _defer_models()
    import uvicorn
    from openhands.agent_server import __main__

    startup = uvicorn.Server.startup

    async def start(self: uvicorn.Server, *arguments: Any, **options: Any) -> None:
        await startup(self, *arguments, **options)
        gc.freeze()
        gc.set_threshold(*usual)

    uvicorn.Server.startup = start
    return __main__


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
    load().main()
