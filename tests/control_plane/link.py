"""A way of one's own to the API server: it has a source address by which requests are known, and can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from local_cluster.control_plane import ControlPlane

_CHUNK = 64 * 1024


class Link:
    """All connections of one process. While it is cut, what is sent vanishes, in both directions."""

    def __init__(self, target: tuple[str, int], source: str) -> None:
        self.source = source
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Pass nothing on any more, and tell nobody."""
        self._whole.clear()

    def strand(self) -> None:
        """Pass nothing on any longer for the connections that are open, and tell nobody. New ones work."""
        self._whole.clear()
        self._whole = asyncio.Event()
        self._whole.set()

    def mend(self) -> None:
        """Take new connections; those of before are broken, and what vanished has vanished."""
        for writer in self._writers:
            writer.transport.abort()
        self._whole.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one side closes it."""
        self._writers.add(writer)
        whole = self._whole
        with contextlib.suppress(OSError):
            await whole.wait()
            upstream, downstream = await asyncio.open_connection(*self._target, local_addr=(self.source, 0))
            self._writers.add(downstream)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pass_on(reader, downstream, whole))
                    ways.create_task(self._pass_on(upstream, writer, whole))
            except* OSError:
                pass
            finally:
                self._writers.discard(downstream)
                downstream.close()
        self._writers.discard(writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, whole: asyncio.Event) -> None:
        while data := await reader.read(_CHUNK):
            if whole.is_set():
                writer.write(data)
                await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def linked(control_plane: ControlPlane, directory: Path, source: str) -> AsyncGenerator[tuple[Link, Path]]:
    """A link, and a kubeconfig in `directory` that leads over it. `source` is an address of loopback."""
    url = urlsplit(control_plane.url)
    assert url.hostname
    assert url.port
    link = Link((url.hostname, url.port), source)
    connections: set[asyncio.Task[None]] = set()
    server = await asyncio.start_server(_accept(link, connections), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kubeconfig = directory / f"kubeconfig-{source}"
    kubeconfig.write_text(control_plane.kubeconfig.read_text().replace(control_plane.url, f"https://127.0.0.1:{port}"))
    try:
        yield link, kubeconfig
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def _accept(
    link: Link, connections: set[asyncio.Task[None]]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(link.serve(reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)

    return accept
