"""Both gateways of a soak, as clients behind a load balancer use them."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from bench.plane import Plane
from bench.processes import Measured
from bench.soak.patience import PATIENCE
from local_cluster.ports import free_port
from sandbox_common.kube import KubeObject
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair

REQUEST_SECONDS = 30.0


class AnsweredError(RuntimeError):
    """An answer that repeating cannot mend."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Gateways:
    """What one does not answer is sent to the other. `key` is the API key of new requests."""

    def __init__(self, here: Plane, kubeconfigs: tuple[Path, Path]) -> None:
        self._here = here
        self._kubeconfigs = kubeconfigs
        self._tls = MountedSecret(here.logs / "tls")
        self.renew_certificate()
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        """Of clients, and of probes."""
        self.processes: list[Measured] = []
        self.key = here.api_key
        # The certificate changes meanwhile; tests/control_plane/gateway/test_tls.py checks which one is shown.
        self.http = aiohttp.ClientSession(
            trust_env=False,
            connector=aiohttp.TCPConnector(limit=0, ssl=False),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )

    def renew_certificate(self) -> None:
        """A new one in the mounted Secret."""
        pair = Pair.make(self._here.logs)
        self._tls.store(pair.certificate, pair.key)

    async def start(self, index: int) -> Measured:
        """Start one, and return when it is ready."""
        port, probes = self.ports[index]
        process = await Measured.start(
            "sandbox-gateway",
            probes,
            self._here.logs / f"gateway-{index}.log",
            *self._here.common(self._kubeconfigs[index]),
            f"--listen-port={port}",
            f"--tls-dir={self._tls.path}",
        )
        await process.ready()
        return process

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: Any) -> Any:
        """The JSON of an answer of 200. Raises AnsweredError and TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            for turn in itertools.count(secrets.randbelow(2)):
                url = f"https://127.0.0.1:{self.ports[turn % 2][0]}{path}"
                sent = headers or {"X-API-Key": self.key}
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with self.http.request(method, url, headers=sent, json=body or None) as answer:
                        if answer.status == 200:
                            return await answer.json()
                        if answer.status not in {429, 502, 503, 504}:
                            text = f"{method} {path} answers {answer.status}: {await answer.text()}"
                            raise AnsweredError(answer.status, text)
                await asyncio.sleep(0.3)
        raise AssertionError

    @asynccontextmanager
    async def socket(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket through either of them. Raises aiohttp.ClientError and TimeoutError."""
        url = f"wss://127.0.0.1:{self.ports[secrets.randbelow(2)][0]}{path}"
        async with self.http.ws_connect(url, headers=headers) as socket:
            yield socket

    async def status(self, index: int, key: str) -> int:
        """What this one answers to this API key, 0 for nothing."""
        url = f"https://127.0.0.1:{self.ports[index][0]}/list"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self.http.get(url, headers={"X-API-Key": key}) as answer:
                return answer.status
        return 0

    async def until_ready(self, runtime_id: str) -> KubeObject:
        """What is said of the sandbox once it is ready."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.ask("GET", f"/runtime/{runtime_id}")
                if found["pod_status"] == "ready":
                    return found
                await asyncio.sleep(0.2)

    async def stop(self, runtime_id: str) -> None:
        """As the sandbox's client does at the end. If an answer was lost, it is gone already."""
        try:
            await self.ask("POST", "/stop", runtime_id=runtime_id)
        except AnsweredError as error:
            if error.status != 404:
                raise

    async def visit(self, runtime: KubeObject) -> None:
        """A request to the sandbox that wakes an idle one, as a health check does not."""
        await self.ask("GET", "/api/conversations/count", session_key(runtime))


def session_key(runtime: KubeObject) -> dict[str, str]:
    """The header with which clients speak to this sandbox."""
    return {"X-Session-API-Key": runtime["session_api_key"]}
