"""A small answer by uvicorn, which is what an agent server runs on: `python -m bench.proxy.hello PORT`."""

import sys
from typing import Any

import uvicorn

from bench.proxy.backend import SMALL

_START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(SMALL)).encode())],
}


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Reads no request's body."""
    await send(_START)
    await send({"type": "http.response.body", "body": SMALL.encode()})


if __name__ == "__main__":
    uvicorn.run(
        hello,
        port=int(sys.argv[1]),
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_keep_alive=600,
        backlog=4096,
    )
