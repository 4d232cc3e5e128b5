"""The gateway's audit log against the calls of two owners, and against the API server's audit log of its writes."""

import asyncio
import contextlib
import fcntl
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count as numbers
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.audit import Audit, Write
from control_plane.gateway.process import Process, serving
from control_plane.gateway.support import API_KEY, OTHER_API_KEY, USER_AGENT, add_api_key, answer
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sampling import count, seed
from sandbox_common.kube import KubeClient

CALLS = count(300, 10_000)
CLIENTS = 8
KILLED_AFTER = 80
API_KEYS = {"alice": API_KEY, "bob": OTHER_API_KEY}
ARGUMENTS = ("--start-hold-seconds=0", "--poll-hold-seconds=0", "--trusted-proxies=127.0.0.1")
CLOCK = timedelta(milliseconds=20)
"""A line's times are rounded, and the server's time is that of another process."""

type Line = dict[str, Any]


@dataclass(frozen=True)
class Planned:
    """A call, the status of its answer, the write that it needs, and what its line must say."""

    verb: str
    method: str
    path: str
    status: int
    body: dict[str, str] | None = None
    write: str = ""
    named: str = ""
    """The runtime id in its line."""
    api_key: str = ""


def life(owner: str, session_id: str, chance: random.Random) -> Iterator[Planned]:
    """The calls about one sandbox, from its first start to its stop."""
    name, key = runtime_id(owner, session_id), API_KEYS[owner]
    other = next(each for each in API_KEYS if each != owner)
    named, start = {"runtime_id": name}, {"image": "i", "session_id": session_id}

    def look(*calls: tuple[str, str, int], of: str = name) -> Planned:
        verb, path, status = chance.choice(calls)
        return Planned(verb, "GET", path, status, named=of, api_key=key)

    looks = (
        ("session", f"/sessions/{session_id}", 200),
        ("runtime", f"/runtime/{name}", 200),
        ("explain", f"/explain/{name}", 200),
    )
    yield Planned("start", "POST", "/start", 200, start, "create sandboxes", name, key)
    yield look(*looks)
    yield chance.choice(
        [
            Planned("start", "POST", "/start", 200, start, "", name, key),
            Planned("start", "POST", "/start", 422, {"session_id": session_id}, api_key=key),
            Planned("resume", "POST", "/resume", 200, named, "", name, key),
            Planned("list", "DELETE", "/list", 405, api_key=key),
        ]
    )
    yield Planned("list", "GET", "/list", 200, api_key=key)
    yield Planned("pause", "POST", "/pause", 200, named, "patch sandboxes", name, key)
    yield chance.choice([look(*looks), Planned("batch", "GET", f"/sessions/batch?ids={session_id}", 200, api_key=key)])
    verb, body = chance.choice([("resume", named), ("start", start)])
    yield Planned(verb, "POST", f"/{verb}", 200, body, "patch sandboxes", name, key)
    anothers = runtime_id(other, session_id)
    yield chance.choice(
        [
            look(("runtime", f"/runtime/{anothers}", 404), ("explain", f"/explain/{anothers}", 404), of=anothers),
            Planned("stop", "POST", "/stop", 401, named, api_key="a-wrong-key"),
            Planned("stop", "POST", "/stop", 404, {"runtime_id": anothers}, "", anothers, key),
            Planned("warm_runtime_configs", "GET", "/api/warm-runtime-configs", 200, api_key=key),
            Planned("admin", "POST", "/api/keys", 403, {}, api_key=key),
        ]
    )
    yield Planned("stop", "POST", "/stop", 200, named, "delete sandboxes", name, key)
    yield look(("session", f"/sessions/{session_id}", 404), ("runtime", f"/runtime/{name}", 404))


@pytest.fixture
async def secrets(client: KubeClient, namespace: str) -> dict[str, str]:
    """The name of each owner's API key."""
    return {owner: await add_api_key(client, namespace, key, owner) for owner, key in API_KEYS.items()}


def address(client: int) -> str:
    return f"203.0.113.{client}"


async def ask(http: httpx.AsyncClient, client: int, call: Planned) -> int:
    headers = {"X-API-Key": call.api_key, "X-Forwarded-For": address(client)}
    return (await http.request(call.method, call.path, json=call.body, headers=headers)).status_code


def lines_of(text: str) -> list[Line]:
    """The lines of the audit log. The last one may be cut by the end of what was read."""
    found: list[Line] = []
    for text_line in text.splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text_line)
            if line.get("logger") == "sandbox_gateway.audit":
                found.append(line)
    return found


def by_client(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line["client_ip"]].append(line)
    return found


def told(line: Line) -> tuple[object, ...]:
    return tuple(line.get(name) for name in ("verb", "status", "owner", "api_key_name", "runtime_id"))


def expected(call: Planned, secrets: dict[str, str]) -> tuple[object, ...]:
    owner = next((owner for owner, key in API_KEYS.items() if key == call.api_key), None)
    return (call.verb, call.status, owner, secrets[owner] if owner else None, call.named or None)


def span(line: Line) -> tuple[datetime, datetime]:
    """When the call began and ended."""
    ended = datetime.fromisoformat(line["timestamp"])
    return ended - timedelta(seconds=line["seconds"]), ended


async def test_lines_and_the_api_servers_audit_log_agree_one_to_one(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    secrets: dict[str, str],
    audit: Audit,
) -> None:
    serial = numbers()
    done: dict[int, list[Planned]] = {number: [] for number in range(2 * CLIENTS)}

    async def calls_of(http: httpx.AsyncClient, number: int) -> None:
        owner, chance = ("alice", "bob")[number % 2], random.Random(f"{seed()}-{number}")
        while sum(map(len, done.values())) < CALLS:
            for call in life(owner, f"s{next(serial)}", chance):
                assert await ask(http, number, call) == call.status, call
                done[number].append(call)

    async with (
        serving(control_plane, namespace, master_key_dir, *ARGUMENTS) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        # Until the gateway knows that there are no pools, the keys of its sandboxes are not settled.
        answer(await http.get("/api/warm-runtime-configs", headers={"X-API-Key": API_KEY}))
        async with asyncio.TaskGroup() as tasks:
            for number in done:
                tasks.create_task(calls_of(http, number))
        process.terminate()
        code, log = await process.ended()
    assert code == 0
    lines = lines_of(log)[1:]
    found = by_client(lines)
    assert {client_ip: list(map(told, theirs)) for client_ip, theirs in found.items()} == {
        address(number): [expected(call, secrets) for call in calls] for number, calls in done.items()
    }
    times = [line["timestamp"] for line in lines]
    assert times == sorted(times)
    assert_each_write_has_its_call(await audit.writes(client, namespace, USER_AGENT), done, found)
    for key in (*API_KEYS.values(), "a-wrong-key", "ohs_"):
        assert key not in log


def assert_each_write_has_its_call(
    writes: Sequence[Write], done: dict[int, list[Planned]], found: dict[str, list[Line]]
) -> None:
    """Each write was made during its own call, and no call lacks its write."""
    assert {write.code // 100 for write in writes} == {2}
    calls: dict[str, list[tuple[str, Line]]] = defaultdict(list)
    for number, planned in done.items():
        for call, line in zip(planned, found[address(number)], strict=True):
            if call.write:
                calls[line["runtime_id"]].append((call.write, line))
    made: dict[str, list[Write]] = defaultdict(list)
    for write in sorted(writes, key=lambda write: write.at):
        made[write.name].append(write)
    assert set(made) == set(calls)
    for name, needed in calls.items():
        for write, (what, line) in zip(made[name], needed, strict=True):
            began, ended = span(line)
            assert write.what == what
            assert began - CLOCK <= write.at <= ended + CLOCK, (write, line)
    print(f"{sum(map(len, done.values()))} calls, {dict(Counter(write.what for write in writes))}")


async def test_each_answered_call_has_its_line_after_a_kill(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, secrets: dict[str, str]
) -> None:
    answered: dict[int, list[Planned]] = {number: [] for number in range(4 * CLIENTS)}

    async def calls_of(process: Process, http: httpx.AsyncClient, number: int) -> None:
        owner, chance = ("alice", "bob")[number % 2], random.Random(f"{seed()}-{number}")
        with contextlib.suppress(httpx.TransportError):
            for round_ in numbers():
                for call in life(owner, f"s{number}-{round_}", chance):
                    if call.status == 401:
                        continue  # such an answer does not wait for its line
                    status = await ask(http, number, call)
                    answered[number].append(call)
                    assert status == call.status
                    if sum(map(len, answered.values())) == KILLED_AFTER:
                        await process.die()

    async with (
        serving(control_plane, namespace, master_key_dir, *ARGUMENTS) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        async with asyncio.TaskGroup() as tasks:
            for number in answered:
                tasks.create_task(calls_of(process, http, number))
        found = by_client(lines_of(process.log))
    assert sum(map(len, answered.values())) >= KILLED_AFTER
    for number, calls in answered.items():
        lines = list(map(told, found[address(number)]))
        assert lines[: len(calls)] == [expected(call, secrets) for call in calls]
        assert len(lines) - len(calls) in {0, 1}, "at most the call that was under way"


async def test_a_reader_that_stands_still_is_counted_and_stops_nothing(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, secrets: dict[str, str]
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reading, "rb") as pipe:
        async with (
            serving(control_plane, namespace, master_key_dir, *ARGUMENTS, stdout=writing) as process,
            httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
        ):
            os.close(writing)
            headers = {"X-API-Key": API_KEY}
            waits = [http.get("/list", headers=headers) for _ in range(40)]
            assert {response.status_code for response in await asyncio.gather(*waits)} == {200}
            late = await counted(process, "audit_lines_late_total")
            assert late > 0
            assert await counted(process, "audit_wait_seconds_sum") >= late
            assert await counted(process, "audit_lines_lost_total") == 0
            assert await process.readyz() == 200
            # What the process logs itself stops nothing either.
            started = answer(await http.post("/start", json={"image": "i", "session_id": "s"}, headers=headers))
            text = ""

            async def read() -> bool:
                nonlocal text
                text += (await asyncio.to_thread(os.read, pipe.fileno(), 65536)).decode()
                return len(lines_of(text)) == 41

            await eventually(read)
        lines = lines_of(text)
        assert [line["verb"] for line in lines] == ["list"] * 40 + ["start"]
        assert lines[-1]["runtime_id"] == started["runtime_id"]


async def counted(process: Process, name: str) -> float:
    """A sample of /metrics."""
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families((await process.ask("/metrics")).text)
        for sample in family.samples
    }
    return samples[f"openhands_sandbox_gateway_{name}"]


async def test_switched_off_there_is_none(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, secrets: dict[str, str]
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir, *ARGUMENTS, "--audit-log=false") as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
    ):
        for key in (API_KEY, "a-wrong-key"):
            await http.get("/list", headers={"X-API-Key": key})
        process.terminate()
        _, log = await process.ended()
    assert lines_of(log) == []
    assert "gateway serves" in log
