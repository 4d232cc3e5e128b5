"""Prometheus itself, from Debian's package: promtool, and a server that scrapes real processes."""

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from local_cluster.packages import unpack
from local_cluster.paths import cache_dir
from local_cluster.ports import free_port
from local_cluster.progress import Progress

type Labels = dict[str, str]
type Samples = list[tuple[float, float]]
"""Times in seconds since 1970, and values."""

_READY_SECONDS = 60


def program(name: str) -> Path:
    """`prometheus` or `promtool`: that of the machine, else that of Debian's package, which is not installed for it."""
    installed = shutil.which(name)
    files = None if installed else unpack("prometheus", cache_dir() / "apt.log", Progress())
    return files / "usr" / "bin" / name if files else Path(str(installed))


class Server:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=f"{url}/api/v1", trust_env=False, timeout=30)

    async def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return (await self._http.get("/query", params={"query": "1"})).status_code == 200
        except httpx.TransportError:
            return False

    async def query(self, expression: str) -> list[float]:
        """The values of an expression now. Raises AssertionError if Prometheus cannot evaluate it."""
        answer = await self._http.get("/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return [float(sample["value"][1]) for sample in answer.json()["data"]["result"]]

    async def series(self, expression: str, begin: float, end: float, step: float) -> list[tuple[Labels, Samples]]:
        """The values of an expression from `begin` to `end` (seconds since 1970), every `step` seconds.

        Each series has its labels, and its values with their times; where it had no value, none. Raises AssertionError
        if Prometheus cannot evaluate the expression.
        """
        query = {"query": expression, "start": begin, "end": end, "step": step}
        answer = await self._http.get("/query_range", params=query)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found = answer.json()["data"]["result"]
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found]

    async def rules(self) -> list[dict[str, Any]]:
        """All rules with their health, and alerts with their state."""
        groups = (await self._http.get("/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def close(self) -> None:
        """Forget the connection; the server goes on."""
        await self._http.aclose()


@asynccontextmanager
async def serving(
    directory: Path, targets: Mapping[str, Mapping[str, str]], rules: Mapping[str, Any], every: int = 1
) -> AsyncGenerator[Server]:
    """Prometheus on loopback, which scrapes these addresses with these labels and has these rules.

    `directory` takes its files. It scrapes and evaluates `every` so many seconds.
    """
    (directory / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    config = {
        "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{every}s"),
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "processes",
                "static_configs": [{"targets": [at], "labels": dict(labels)} for at, labels in targets.items()],
            }
        ],
    }
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
            stdout=output,
            stderr=output,
        )
    server = Server(f"http://{address}")
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not await server.is_ready():
            assert process.returncode is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            await asyncio.sleep(0.1)
        yield server
    finally:
        await server.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
