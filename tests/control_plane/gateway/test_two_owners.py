"""A real gateway process with few connections, one owner that takes all that it gets, and another who is served."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from control_plane.gateway.process import Process, serving
from control_plane.gateway.support import API_KEY, OTHER_API_KEY, Agent, Operator, answer
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.reasons import Reason
from sandbox_gateway.process.descriptors import connections

OPEN_FILES = 1024
MOST = connections(OPEN_FILES)
SANDBOXES = 4
TRIES = 20


async def started(http: httpx.AsyncClient, operator: Operator, owner: str, session_id: str, agent: Agent) -> str:
    """The session key of a sandbox that is ready."""
    body = {"image": "i", "session_id": session_id, "command": agent.command}
    starting = asyncio.create_task(http.post("/start", json=body))
    name = runtime_id(owner, session_id)
    await eventually(partial(operator.report, Reason.READY, name=name))
    return answer(await starting)["session_api_key"]


async def take_all(process: Process, session_keys: list[str], stack: AsyncExitStack) -> list[bytes]:
    """Ask for as many answers that never come as there are connections; gives those answers that come."""
    port = httpx.URL(process.url).port
    answers: list[bytes] = []

    async def ask(key: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.transport.abort)
        writer.write(
            f"GET /for-ever HTTP/1.1\r\nHost: gw\r\nConnection: close\r\nX-Session-API-Key: {key}\r\n\r\n".encode()
        )
        with contextlib.suppress(TimeoutError):
            answers.append(await asyncio.wait_for(reader.read(-1), 5))

    await asyncio.gather(*(ask(session_keys[number % len(session_keys)]) for number in range(MOST)))
    return answers


@pytest.mark.usefixtures("api_keys")
async def test_the_other_owner_is_answered_whatever_the_greedy_one_takes(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir, open_files=OPEN_FILES) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as http,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False, headers={"X-API-Key": API_KEY}) as greedy,
        httpx.AsyncClient(base_url=process.url, timeout=60, trust_env=False) as modest,
        AsyncExitStack() as stack,
        asyncio.timeout(300),
    ):
        modest.headers["X-API-Key"] = OTHER_API_KEY
        keys = [await started(greedy, operator, "alice", f"s{number}", agent) for number in range(SANDBOXES)]
        session = {"X-Session-API-Key": await started(modest, operator, "bob", "s", agent)}
        refused = await take_all(process, keys, stack)
        assert len(refused) >= MOST // 5, "some is left for others"
        # 503 for those that came while all connections were still open.
        assert b"429" in {one[9:12] for one in refused} <= {b"429", b"503"}
        explaining = asyncio.create_task(
            _explain(greedy, [runtime_id("alice", f"s{number}") for number in range(SANDBOXES)])
        )
        for _ in range(TRIES):
            assert (await http.get("/health", headers=session)).status_code == 200
            answer(await modest.get("/list"))
            answer(await modest.get("/sessions/s"))
            found = answer(await modest.get(f"/explain/{runtime_id('bob', 's')}"))
            assert "could not be read" not in str(found)
        explaining.cancel()


async def _explain(http: httpx.AsyncClient, names: list[str]) -> None:
    """Again and again, twenty at a time."""

    async def one(name: str) -> None:
        while True:
            await http.get(f"/explain/{name}")

    await asyncio.gather(*(one(names[number % len(names)]) for number in range(20)))
