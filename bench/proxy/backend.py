"""Behind every proxy of the comparison: nginx for HTTP, an echo by picows for WebSockets, a sink for uploads.

Both cost little, so that the proxy on the other core is what limits. An agent server would be that limit itself.
"""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any, cast, override

import picows
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

SMALL = '{"execution_status":"running","id":"6f1c2d3e-0000-4000-8000-000000000000"}'
MEDIUM_BYTES = 64 * 1024
LARGE_BYTES = 1024 * 1024 * 1024

_NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600; client_max_body_size 0;
  {temporary}
  sendfile on; tcp_nodelay on; server_tokens off; default_type application/json; open_file_cache max=10;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {files};
    location /small {{ return 200 '{small}'; }}
  }}
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def temporary_paths(directory: Path) -> str:
    """nginx's own are another user's."""
    return " ".join(f"{name}_temp_path {directory}/{name};" for name in _TEMPORARY)


def nginx_backend(directory: Path, port: int) -> list[str]:
    """Write what it serves and its configuration; gives its command."""
    files = directory / "files"
    files.mkdir()
    (files / "medium").write_bytes(b"x" * MEDIUM_BYTES)
    with (files / "large").open("wb") as large:
        large.truncate(LARGE_BYTES)
    configuration = directory / "nginx.conf"
    configuration.write_text(
        _NGINX.format(directory=directory, temporary=temporary_paths(directory), port=port, files=files, small=SMALL)
    )
    return ["nginx", "-c", str(configuration), "-p", str(directory), "-e", str(directory / "error.log")]


class _Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes(), frame.fin)


class _Sink(asyncio.Protocol):
    """Takes one body with a Content-Length, and answers when it is whole."""

    def __init__(self) -> None:
        self._head = b""
        self._left: int | None = None
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            self._left = int(length[1]) if length else 0
        self._left -= len(data)
        if self._left == 0:
            self._head, self._left = b"", None
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _serve(port: int, sink_port: int) -> None:
    await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", sink_port)

    def listener(_: WSUpgradeRequest) -> WSListener:
        return _Echo()

    create = cast(Any, picows).ws_create_server  # its own types are not complete
    server = await create(listener, "127.0.0.1", port, websocket_handshake_timeout=30)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(*map(int, sys.argv[1:])))
