"""Record what nginx does with the requests of the tables, for the unit test that compares it with the data plane."""

import asyncio
import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop

from sandbox_gateway.proxy.head import MAX_HEAD_BYTES
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.refusals import REFUSED_CHUNKS, REFUSED_FRAMING, REFUSED_HEADS, framed_request

RECORD = Path(__file__).parents[1] / "unit/sandbox_gateway/proxy/nginx.json"

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; merge_slashes off; large_client_header_buffers 8 64k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen unix:{folder}/front;
    location / {{ proxy_pass http://unix:{folder}/back; proxy_http_version 1.1; proxy_set_header Host $http_host; }}
  }}
}}
"""


def requests() -> dict[str, bytes]:
    """The requests, each with a name of its own."""
    chunked = framed_request(b"Transfer-Encoding: chunked\r\n")
    return {
        **{f"exchange: {name}": exchange.sent for name, exchange in EXCHANGES.items()},
        **{f"head: {name}": data for name, (_, data) in REFUSED_HEADS.items() if len(data) < MAX_HEAD_BYTES},
        **{f"framing: {name}": framed_request(fields) for name, (_, fields) in REFUSED_FRAMING.items()},
        **{f"chunks: {name}": chunked + body for name, body in REFUSED_CHUNKS.items()},
    }


class _Recorder:
    """The upstream, and a client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[str] = []

    async def record(self) -> dict[str, object]:
        async with await asyncio.start_unix_server(self._answer, self._folder / "back"):
            return {name: await self._ask(data) for name, data in requests().items()}

    async def _ask(self, data: bytes) -> dict[str, object]:
        """The status of the first answer (0 for none), and the lines of the requests that came through."""
        self._lines = []
        reader, writer = await asyncio.open_unix_connection(self._folder / "front")
        writer.write(data)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.5):
                received = await reader.readline()
        writer.close()
        await asyncio.sleep(0.1)  # what it still passes on belongs to this request
        status = received.split(b" ")[1] if received.startswith(b"HTTP/") else b"0"
        return {"status": int(status), "forwarded": self._lines}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = self._lines
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines.append(head.partition(b"\r\n")[0].decode("latin-1"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            with contextlib.suppress(
                TimeoutError, ConnectionError
            ):  # with bytes unread, closing would destroy the answer
                async with asyncio.timeout(0.3):
                    await reader.read(-1)
        writer.close()


def main(nginx: Annotated[str, typer.Option(help="The program.")] = "nginx") -> None:
    """Ask a real nginx (Debian: nginx-light) each request of the tables, and write down its answers."""
    version = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        server = subprocess.Popen([nginx, "-c", str(configuration), "-p", temporary], stderr=subprocess.DEVNULL)
        try:
            uvloop.run(_started(folder / "front"))
            outcomes = uvloop.run(_Recorder(folder).record())
        finally:
            server.terminate()
            server.wait()
    found = {"version": version.partition("nginx/")[2].strip(), "outcomes": outcomes}
    RECORD.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    typer.echo(f"{len(outcomes)} requests: {RECORD}")


async def _started(front: Path) -> None:
    async with asyncio.timeout(10):
        while not front.exists():  # noqa: ASYNC110, ASYNC240 (another process makes it)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    typer.run(main)
