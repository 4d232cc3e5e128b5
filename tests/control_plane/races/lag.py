"""A connection to the API server on which watches lag: each process has its own, so each knows of the others late."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from local_cluster.control_plane import ControlPlane

_LAGS = (0.0, 0.0, 0.05, 0.4, 1.0)
_ASKED_SECONDS = 0.2
"""What the server sends so long after the client has sent anything is the news of a watch."""
_CHUNK = 64 * 1024


class _Link:
    """One connection, in both directions."""

    def __init__(self, target: tuple[str, int], draw: random.Random, lags: Sequence[float]) -> None:
        self._target = target
        self._random = draw
        self._lags = lags
        self._asked_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until one side closes it."""
        with contextlib.suppress(OSError):
            upstream, downstream = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._ask(reader, downstream))
                    ways.create_task(self._tell(upstream, writer))
            except* OSError:
                pass
            finally:
                downstream.close()
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self._asked_at = asyncio.get_running_loop().time()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if asyncio.get_running_loop().time() - self._asked_at > _ASKED_SECONDS:
                await asyncio.sleep(self._random.choice(self._lags))
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def lagging(control_plane: ControlPlane, directory: Path, lags: Sequence[float] = _LAGS) -> AsyncGenerator[Path]:
    """A kubeconfig in `directory` that leads to the same API server, late by one of `lags` in seconds."""
    url, draw = urlsplit(control_plane.url), random.Random(0)
    assert url.hostname
    assert url.port
    target = (url.hostname, url.port)
    links: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(_Link(target, draw, lags).serve(reader, writer))
        links.add(link)
        link.add_done_callback(links.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield _written(control_plane, directory / f"kubeconfig-{port}", f"https://127.0.0.1:{port}")
    finally:
        server.close()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


def _written(control_plane: ControlPlane, path: Path, url: str) -> Path:
    path.write_text(control_plane.kubeconfig.read_text().replace(control_plane.url, url))
    return path
