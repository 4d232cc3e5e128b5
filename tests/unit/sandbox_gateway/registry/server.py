"""An OCI registry over TLS on loopback, whose answers the test writes."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from local_cluster.pki import Identity, Pki

HOSTS = ("127.0.0.1", "localhost", "cdn.test")


@dataclass
class Registry:
    """Answers by path; 404 for all else."""

    tls: ssl.SSLContext
    """For its clients: trusts its certificate."""
    authority: Path
    """Of its certificate, as a file."""
    port: int = 0
    answers: dict[str, web.Response | list[web.Response]] = field(default_factory=dict[str, Any])
    """A list is used up from its beginning; its last entry stays."""
    slow: bool = False
    """Whether it takes longer than anybody waits."""
    asked: list[web.Request] = field(default_factory=list[web.Request])

    @property
    def name(self) -> str:
        """As in an image reference."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its origin."""
        return f"https://{self.name}"

    @property
    def paths(self) -> list[str]:
        """Path and query of all requests so far."""
        return [request.path_qs for request in self.asked]

    def push(self, repository: str, tag: str, created: Any = "2026-01-02T03:04:05.123456789Z") -> dict[str, Any]:
        """An image of three layers; gives the descriptor of its manifest."""
        config = self._blob(repository, {"created": created, "config": {"Env": ["A=1"]}})
        layers = [{"digest": f"sha256:{number:064x}", "size": size} for number, size in enumerate((1000, 200, 30))]
        return self._manifest(repository, tag, {"schemaVersion": 2, "config": config, "layers": layers})

    def push_index(self, repository: str, tag: str, images: list[dict[str, Any]]) -> None:
        """An index of images for several platforms."""
        self._manifest(repository, tag, {"schemaVersion": 2, "manifests": images})

    def _manifest(self, repository: str, tag: str, manifest: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        for version in (tag, digest):
            self.answers[f"/v2/{repository}/manifests/{version}"] = web.Response(body=text)
        return {"digest": digest, "size": len(text)}

    def _blob(self, repository: str, content: Any) -> dict[str, Any]:
        text = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        self.answers[f"/v2/{repository}/blobs/{digest}"] = web.Response(body=text)
        return {"digest": digest, "size": len(text)}

    async def answer(self, request: web.Request) -> web.Response:
        """Serve one request."""
        self.asked.append(request)
        if self.slow:
            await asyncio.Event().wait()
        answer = self.answers.get(request.path, web.Response(status=404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        # A response can be sent only once.
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


@asynccontextmanager
async def running_registry(directory: Path) -> AsyncGenerator[Registry]:
    """Serves until the end; its certificate authority is made in `directory`."""
    pki = Pki(directory / "pki")
    pki.create([Identity("registry", "registry", hosts=HOSTS)])
    registry = Registry(ssl.create_default_context(cafile=pki.ca), pki.ca)
    app = web.Application()
    app.router.add_get("/{path:.*}", registry.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.certificate("registry"), pki.key("registry"))
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    registry.port = runner.addresses[0][1]
    try:
        yield registry
    finally:
        await runner.cleanup()
