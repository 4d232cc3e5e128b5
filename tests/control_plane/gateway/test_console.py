"""The console of real gateways on the real API server, over HTTP."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.gateway.process import Process, serving
from control_plane.gateway.support import ADMIN_API_KEY, API_KEY, OTHER_API_KEY, Operator, add_api_key, answer
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.usefixtures("api_keys")

DOMAIN = "box.test"
HOLDS = ("--start-hold-seconds=0", "--poll-hold-seconds=0", f"--base-domain={DOMAIN}")


@pytest.fixture
async def gateway(control_plane: ControlPlane, namespace: str, master_key_dir: Path) -> AsyncIterator[Process]:
    async with serving(control_plane, namespace, master_key_dir, *HOLDS) as process:
        yield process


class Browser:
    """A browser at one gateway. It sends what browsers do."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """A page."""
        return await self.http.get(f"{self.url}/console{path}", **options)

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of the console's own page."""
        return await self.http.post(f"{self.url}/console{path}", data=fields, headers={"Origin": self.url})

    async def sign_in(self, api_key: str = API_KEY) -> httpx.Response:
        """With an API key."""
        return await self.send("/sign-in", key=api_key)

    async def token(self) -> str:
        """What this session's forms have."""
        found = re.search(r'name="token" value="([^"]+)"', (await self.get("/sandboxes")).text)
        assert found is not None
        return found[1]


@asynccontextmanager
async def browser(gateway: Process) -> AsyncGenerator[Browser]:
    """Without cookies at first."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        yield Browser(http, gateway.url)


async def start(gateway: Process, session_id: str, api_key: str = API_KEY) -> str:
    """A sandbox's name."""
    body = {"image": "agent:1", "session_id": session_id}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        headers = {"X-API-Key": api_key}
        return answer(await http.post(f"{gateway.url}/start", json=body, headers=headers))["runtime_id"]


def audited(gateway: Process) -> list[dict[str, Any]]:
    """The lines of the audit log that are the console's."""
    lines = [json.loads(line) for line in gateway.log.splitlines() if line.startswith('{"event":"call"')]
    return [line for line in lines if line.get("via") == "console"]


async def test_a_sandbox_is_seen_explained_paused_resumed_and_stopped(
    gateway: Process, operator: Operator, client: KubeClient, namespace: str
) -> None:
    name = await start(gateway, "a-session")
    await operator.report(Reason.IMAGE_NOT_FOUND, "the image agent:1 is not there", name=name)
    async with browser(gateway) as person:
        assert (await person.get("/sandboxes")).status_code == 401
        assert (await person.sign_in()).status_code == 303

        async def listed() -> bool:
            page = await person.get("/sandboxes?q=ImageNotFound")
            assert page.status_code == 200
            return name in page.text

        await eventually(listed)
        page = (await person.get(f"/sandboxes/{name}")).text
        assert "the image agent:1 is not there" in page
        assert "What you can do:" in page

        async def spec() -> dict[str, Any]:
            return (await client.get(SANDBOXES, namespace, name))["spec"]

        token = await person.token()
        assert (await person.send(f"/sandboxes/{name}/pause", token=token)).status_code == 303
        assert (await spec())["suspend"] is True
        assert (await person.send(f"/sandboxes/{name}/resume", token=token)).status_code == 303
        assert (await spec())["suspend"] is False
        assert (await person.get("/usage")).status_code == 200
        assert (await person.get("/pools")).status_code == 200
        assert (await person.send(f"/sandboxes/{name}/stop", token=token)).status_code == 303
        assert await client.find(SANDBOXES, namespace, name) is None
        assert (await person.get(f"/sandboxes/{name}")).status_code == 404
    verbs = [(line["verb"], line["status"], line.get("runtime_id")) for line in audited(gateway)]
    for entry in (
        ("sign_in", 303, None),
        ("explain", 200, name),
        ("pause", 303, name),
        ("usage", 200, None),
        ("stop", 303, name),
    ):
        assert entry in verbs
    assert all(line["owner"] == "alice" for line in audited(gateway) if line["status"] != 401)
    assert API_KEY not in gateway.log


async def test_anothers_sandbox_is_as_if_absent(gateway: Process, client: KubeClient, namespace: str) -> None:
    bobs = await start(gateway, "his-session", OTHER_API_KEY)
    before = await client.get(SANDBOXES, namespace, bobs)
    async with browser(gateway) as person:
        await person.sign_in()
        token = await person.token()

        async def told(name: str) -> list[tuple[int, str]]:
            pages = [await person.get(f"/sandboxes/{name}{end}") for end in ("", "/updates", "/log", "?confirm=stop")]
            pages += [
                await person.send(f"/sandboxes/{name}/{action}", token=token) for action in ("pause", "resume", "stop")
            ]
            return [(page.status_code, page.text.replace(name, "{}")) for page in pages]

        of_his = await told(bobs)
        assert of_his == await told("sb-abcdefghijklmnopqrstuvwx")
        assert {status for status, _ in of_his} == {404}
        for odd in ("..%2f..", "a%00b", "%F0%9F%92%A9", "x" * 2000, "sb-a'\"%3Cscript%3E"):
            assert (await person.get(f"/sandboxes/{odd}")).status_code == 404
        table = await person.get(f"/sandboxes?owner=bob&q={bobs}")
        assert "his-session" not in table.text
    assert await client.get(SANDBOXES, namespace, bobs) == before


async def test_an_administrator_sees_and_stops_all_but_resumes_nothing_of_others(
    gateway: Process,
) -> None:
    bobs = await start(gateway, "his-session", OTHER_API_KEY)
    async with browser(gateway) as person:
        await person.sign_in(ADMIN_API_KEY)

        async def listed() -> bool:
            return bobs in (await person.get("/sandboxes?owner=bob")).text

        await eventually(listed)
        assert bobs not in (await person.get("/sandboxes?owner=root")).text
        page = (await person.get(f"/sandboxes/{bobs}")).text
        assert "his-session" in page
        assert "APIRemoteWorkspace" not in page
        token = await person.token()
        assert (await person.send(f"/sandboxes/{bobs}/resume", token=token)).status_code == 404
        assert (await person.send(f"/sandboxes/{bobs}/stop", token=token)).status_code == 303
    stops = [line for line in audited(gateway) if line["verb"] == "stop"]
    assert [(line["owner"], line["admin"], line["sandbox_owner"]) for line in stops] == [("root", True, "bob")]


async def test_a_revoked_key_ends_its_session_and_its_streams(
    gateway: Process, client: KubeClient, namespace: str
) -> None:
    secret = await add_api_key(client, namespace, "key-of-carol", "carol")
    async with browser(gateway) as person:

        async def known() -> bool:
            headers = {"X-API-Key": "key-of-carol"}
            return (await person.http.get(f"{gateway.url}/list", headers=headers)).status_code == 200

        await eventually(known)
        await person.sign_in("key-of-carol")
        async with person.http.stream("GET", f"{gateway.url}/console/sandboxes/updates") as stream:
            assert stream.status_code == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            parts = stream.aiter_text()
            assert "retry" in await anext(parts)
            await client.delete(SECRETS, namespace, secret)
            rest = "".join([part async for part in parts])
            assert "data: " in rest
        assert (await person.get("/sandboxes")).status_code == 401
        assert (await person.sign_in("key-of-carol")).status_code == 403


async def test_a_session_is_valid_at_each_replica_and_after_a_restart(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path
) -> None:
    async with serving(control_plane, namespace, master_key_dir, *HOLDS) as one, browser(one) as person:
        await person.sign_in()
        token = await person.token()
        one.terminate()
        await one.ended()
        async with serving(control_plane, namespace, master_key_dir, *HOLDS) as other:
            person.url = other.url
            assert (await person.get("/sandboxes")).status_code == 200
            assert (await person.send("/sign-out", token=token)).status_code == 303
            assert (await person.get("/sandboxes")).status_code == 401


async def test_open_pages_do_not_delay_the_end_of_a_gateway(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path
) -> None:
    async with serving(control_plane, namespace, master_key_dir, *HOLDS) as gateway, browser(gateway) as person:
        await person.sign_in()
        async with person.http.stream("GET", f"{gateway.url}/console/sandboxes/updates") as stream:
            parts = stream.aiter_text()
            await anext(parts)
            gateway.terminate()
            async with asyncio.timeout(10):
                _ = [part async for part in parts]
        assert (await gateway.ended())[0] == 0


async def test_other_sites_and_guessers_get_nowhere(gateway: Process) -> None:
    async with browser(gateway) as person:
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": f"http://work-1-sb-a.{DOMAIN}"}):
            stranger = await person.http.post(f"{gateway.url}/console/sign-in", data={"key": API_KEY}, headers=headers)
            assert (stranger.status_code, "set-cookie" in stranger.headers) == (403, False)
        answers = [(await person.sign_in(f"guess-{number}")).status_code for number in range(30)]
        assert set(answers) == {403, 429}
        refused = await person.sign_in()
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) <= 60
    assert "guess-" not in gateway.log


async def test_a_sandboxs_host_has_no_console(gateway: Process) -> None:
    async with browser(gateway) as person:
        await person.sign_in()
        cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
        hosts = {"Host": f"sb-a.{DOMAIN}", "Cookie": cookies}
        other = await person.http.get(f"{gateway.url}/console/sandboxes", headers=hosts)
        assert other.status_code == 404
        assert other.headers["content-type"] == "application/json"


async def test_it_can_be_switched_off(control_plane: ControlPlane, namespace: str, master_key_dir: Path) -> None:
    off = serving(control_plane, namespace, master_key_dir, "--console=false")
    async with off as gateway, browser(gateway) as person:
        for path in ("", "/sign-in", "/sandboxes", "/static/console.js"):
            assert (await person.get(path)).status_code == 401
        assert "set-cookie" not in (await person.sign_in()).headers
