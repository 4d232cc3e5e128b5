"""A registry on the node's own loopback address: of one image, with troubles."""

import json
import os
import re
import socket
import struct
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

LATE, MISSING, DENIED, FORBIDDEN = "late", "missing", "denied", "forbidden"
"""Repositories: one that answers well once the registry is mended, and three that never do."""

_ADDRESS = ("127.0.0.1", 80)
"""Where containerd speaks plain HTTP without being told."""
_RESET = 0
_TROUBLES = (503, _RESET, 429)
"""What the first attempt to pull the late image meets, the second and the third; then the first again."""
_ATTEMPT_SECONDS = 3
"""Requests closer together belong to one attempt: containerd repeats some at once, the kubelet after 10 s or more."""
_FINAL = {MISSING: (404, "MANIFEST_UNKNOWN"), DENIED: (401, "UNAUTHORIZED"), FORBIDDEN: (403, "DENIED")}
_PATH = re.compile(r"/v2/(?P<repository>[a-z]+)/(?P<kind>manifests|blobs)/(?P<name>\S+)")
_OCI = "application/vnd.oci.image"


class _Archive:
    """The image of a docker-archive, as registries name its parts: by digest. `label` makes it an image of its own.

    A node knows images by their configuration: the same one would take the place of the archive's image there.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        with tarfile.open(path) as tar:
            member = tar.extractfile("manifest.json")
            assert member
            [image] = json.load(member)
            config = tar.extractfile(image["Config"])
            assert config
            self.config = json.dumps({**json.load(config), "author": label}).encode()
            members = {name: tar.getmember(name) for name in image["Layers"]}
        self.blobs = {f"sha256:{Path(name).stem}": (one.offset_data, one.size) for name, one in members.items()}
        layers = [{"digest": digest, "size": size} for digest, (_, size) in self.blobs.items()]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": {
                "mediaType": f"{_OCI}.config.v1+json",
                "digest": _digest(self.config),
                "size": len(self.config),
            },
            "layers": [{"mediaType": f"{_OCI}.layer.v1.tar", **layer} for layer in layers],
        }
        self.manifest = json.dumps(manifest).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


class Registry:
    """What the late repository has answered so far, and whether it is mended."""

    def __init__(self, archive: Path) -> None:
        self.mended = False
        self._tag = uuid.uuid4().hex
        self.archive = _Archive(archive, self._tag)
        self._attempts = 0
        self._asked = float("-inf")
        self._lock = threading.Lock()

    def reference(self, repository: str) -> str:
        """An image of this registry, which no node has had before."""
        return f"{_ADDRESS[0]}:{_ADDRESS[1]}/{repository}:{self._tag}"

    @property
    def met_all(self) -> bool:
        """Whether each trouble has been met by an attempt to pull."""
        return self._attempts >= len(_TROUBLES)

    def trouble(self) -> int:
        """What an attempt meets that asks now."""
        with self._lock:
            now = time.monotonic()
            if now - self._asked > _ATTEMPT_SECONDS:
                self._attempts += 1
            self._asked = now
            return _TROUBLES[(self._attempts - 1) % len(_TROUBLES)]


@contextmanager
def serving(archive: Path, network: Path) -> Generator[Registry]:
    """A registry of this docker-archive in the network namespace that is mounted at `network`."""
    registry = Registry(archive)

    class Handler(_Handler):
        of = registry

    with ThreadingHTTPServer(_ADDRESS, Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = _within(network, lambda: socket.create_server(_ADDRESS))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def _within[T](network: Path, act: Callable[[], T]) -> T:
    """What `act` gives in this network namespace; a socket stays in the one where it was made."""

    def enter() -> T:
        with network.open() as namespace:
            os.setns(namespace.fileno(), os.CLONE_NEWNET)
        return act()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


class _Handler(BaseHTTPRequestHandler):
    of: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = _PATH.fullmatch(self.path)
        if asked is None:
            self._refuse(404, "UNSUPPORTED")
        elif asked["repository"] in _FINAL:
            self._refuse(*_FINAL[asked["repository"]])
        elif not self.of.mended:
            self._hinder(self.of.trouble())
        elif asked["kind"] == "manifests":
            self._give(self.of.archive.manifest, f"{_OCI}.manifest.v1+json")
        elif asked["name"] == _digest(self.of.archive.config):
            self._give(self.of.archive.config, f"{_OCI}.config.v1+json")
        elif blob := self.of.archive.blobs.get(asked["name"]):
            self._begin(200, blob[1], "application/octet-stream", asked["name"])
            self._send(lambda: self._copy(*blob))
        else:
            self._refuse(404, "BLOB_UNKNOWN")

    do_HEAD = do_GET

    def _hinder(self, trouble: int) -> None:
        if trouble != _RESET:
            self._refuse(trouble, "TOOMANYREQUESTS")
            return
        # Closed with nothing to linger for, a connection is reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def _give(self, content: bytes, kind: str) -> None:
        self._begin(200, len(content), kind, _digest(content))
        self._send(lambda: self.wfile.write(content))

    def _refuse(self, status: int, code: str) -> None:
        text = json.dumps({"errors": [{"code": code, "message": code.replace("_", " ").lower()}]}).encode()
        self._begin(status, len(text), "application/json")
        self._send(lambda: self.wfile.write(text))

    def _begin(self, status: int, length: int, kind: str, digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.end_headers()

    def _send(self, write: Callable[[], Any]) -> None:
        if self.command != "HEAD":
            write()

    def _copy(self, offset: int, size: int) -> None:
        with self.of.archive.path.open("rb") as archive:
            archive.seek(offset)
            _copy_part(archive, self.wfile.write, size)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is logged: what is asked shows in what the node says."""


def _copy_part(source: BinaryIO, write: Callable[[bytes], Any], size: int) -> None:
    while size and (part := source.read(min(size, 1 << 20))):
        size -= len(part)
        write(part)
