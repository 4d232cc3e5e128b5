#!/opt/agent-server/bin/python -P
"""Starts the agent server, and lets Python look for garbage only among new objects until it serves.

A full collection visits all objects. While modules are imported, nearly all of them stay, and each time that there are
a quarter more, Python collects again: an eighth of the CPU of a boot. What is there when the server listens stays as
well, so later collections do not visit it.
"""

import gc
from types import ModuleType
from typing import Any

_NEVER = 1_000_000
"""So many collections of younger objects come before a full one."""


def load() -> ModuleType:
    """Import the agent server. Its `main` starts it."""
    usual = gc.get_threshold()
    gc.set_threshold(*usual[:2], _NEVER)
    import uvicorn
    from openhands.agent_server import __main__

    startup = uvicorn.Server.startup

    async def start(self: uvicorn.Server, *arguments: Any, **options: Any) -> None:
        await startup(self, *arguments, **options)
        gc.freeze()
        gc.set_threshold(*usual)

    uvicorn.Server.startup = start
    return __main__


if __name__ == "__main__":
    load().main()
