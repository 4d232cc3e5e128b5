"""What is another owner's does not exist: neither for an API key nor for a session key."""

import re
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from prometheus_client import generate_latest

from control_plane.audit import Audit, kinds
from control_plane.gateway.neighbours import DOMAIN, Town, town
from control_plane.gateway.process import serving
from control_plane.gateway.sleeper import NO_POD
from control_plane.gateway.sse import events
from control_plane.gateway.support import ADMIN_API_KEY, API_KEY, OTHER_API_KEY, USER_AGENT, Operator, answer, refusal
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.activity import PATH as ACTIVITY
from sandbox_common.activity import decode
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.names import unkeyed_runtime_id

pytestmark = pytest.mark.usefixtures("api_keys")

NAME_A_SANDBOX: dict[tuple[str, str], str] = {
    ("get", "/sessions/{session_id}"): "session_id",
    ("get", "/sessions/batch"): "session_id",
    ("get", "/runtime/{runtime_id}"): "runtime_id",
    ("get", "/explain/{runtime_id}"): "runtime_id",
    ("get", "/logs/{runtime_id}"): "runtime_id",
    ("get", "/history/{runtime_id}"): "runtime_id",
    ("post", "/pause"): "runtime_id",
    ("post", "/resume"): "runtime_id",
    ("post", "/stop"): "runtime_id",
}
"""By which id."""
NAME_NONE = {
    ("get", "/list"),
    ("get", "/events"),
    ("get", "/pools"),
    ("get", "/limits"),
    ("post", "/start"),  # makes the sender's own, whatever it says
    ("get", "/registry_prefix"),
    ("get", "/image_exists"),
    ("get", "/usage"),
    ("post", "/build"),
    ("get", "/build_status"),
    ("get", "/api/warm-runtime-configs"),
}

MADE_UP = {"runtime_id": "sb-abcdefghijklmnopqrstuvwx", "session_id": "session-x"}


async def asked(http: httpx.AsyncClient, replica: str, endpoint: tuple[str, str], name: str) -> httpx.Response:
    """Alice's request about the sandbox, or the session, of this name."""
    method, path = endpoint
    params = {"ids": name} if path.endswith("/batch") else None
    json = {"runtime_id": name} if method == "post" else None
    url = replica + re.sub(r"\{\w+\}", name, path)
    return await http.request(method, url, params=params, json=json, headers={"X-API-Key": API_KEY})


def told(response: httpx.Response, name: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of an answer but its date and the name that was asked about."""
    fields = [(field, value) for field, value in response.headers.raw if field.lower() != b"date"]
    return response.status_code, fields, response.content.replace(name.encode(), b"{}")


def by_gateway(work: Counter[tuple[str, str]]) -> Counter[str]:
    """The gateways' requests to the API server by what they ask for, whatever came of them."""
    requests: Counter[str] = Counter()
    for (agent, what), number in work.items():
        if agent == USER_AGENT:
            requests[what.partition(" (")[0]] += number
    return requests


async def test_the_table_has_every_endpoint(houses: Town) -> None:
    paths: dict[str, dict[str, Any]] = answer(await houses.http.get(f"{houses.replicas[0]}/openapi.json"))["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == {*NAME_A_SANDBOX, *NAME_NONE}


async def test_anothers_sandbox_is_answered_like_none_with_the_same_work(
    houses: Town, client: KubeClient, namespace: str, audit: Audit
) -> None:
    before = await client.get(SANDBOXES, namespace, houses.bob.name)
    bobs = {"runtime_id": houses.bob.name, "session_id": houses.bob.session_id}

    async def cost(replica: str, endpoint: tuple[str, str], name: str) -> tuple[object, Counter[str]]:
        earlier = await audit.tally(client, namespace)
        response = await asked(houses.http, replica, endpoint, name)
        return told(response, name), by_gateway(await audit.tally(client, namespace) - earlier)

    for replica in houses.replicas:
        for endpoint, kind in NAME_A_SANDBOX.items():
            missing, work_for_missing = await cost(replica, endpoint, MADE_UP[kind])
            found, work_for_found = await cost(replica, endpoint, bobs[kind])
            assert found == missing, endpoint
            assert work_for_found == work_for_missing, endpoint
    assert await client.get(SANDBOXES, namespace, houses.bob.name) == before
    assert (houses.bob.agent.opened, houses.bob.agent.refused) == ([], [])


async def into(state: str, name: str, operator: Operator, client: KubeClient, namespace: str) -> None:
    """Bring a sandbox into this state."""
    if state == "suspended":
        await client.patch(SANDBOXES, namespace, name, {"spec": {"suspend": True, "suspendReason": "Idle"}})
        await operator.report(Reason.IDLE, name=name, **NO_POD)
    elif state == "failed":
        await operator.report(Reason.IMAGE_NOT_FOUND, "private words", name=name)
    elif state == "being deleted":
        await client.patch(SANDBOXES, namespace, name, {"metadata": {"finalizers": ["tests.example/held"]}})
        await client.delete(SANDBOXES, namespace, name)


@pytest.mark.parametrize("state", ["ready", "suspended", "failed", "being deleted"])
async def test_no_name_of_anothers_sandbox_leads_to_it_in_any_state(
    houses: Town, operator: Operator, client: KubeClient, namespace: str, state: str
) -> None:
    bob, url = houses.bob, houses.replicas[0]
    await into(state, bob.name, operator, client, namespace)
    try:
        for endpoint in NAME_A_SANDBOX:
            for name, absent in {
                bob.name: MADE_UP["runtime_id"],
                bob.session_id: MADE_UP["session_id"],
                unkeyed_runtime_id("bob", bob.session_id): unkeyed_runtime_id("bob", MADE_UP["session_id"]),
                f"work-1-{bob.name}": f"work-1-{MADE_UP['runtime_id']}",
                bob.host: f"{MADE_UP['runtime_id']}.{DOMAIN}",
            }.items():
                found = told(await asked(houses.http, url, endpoint, name), name)
                assert found == told(await asked(houses.http, url, endpoint, absent), absent), (endpoint, name)
                assert found[0] == 404 or (endpoint[1].endswith("/batch") and found[2] == b"[null]")
    finally:
        await client.patch(SANDBOXES, namespace, bob.name, {"metadata": {"finalizers": None}})


async def test_nothing_that_an_owner_reads_has_a_word_of_anothers(houses: Town, operator: Operator) -> None:
    http, of_alice, of_bob = houses.http, {"X-API-Key": API_KEY}, {"X-API-Key": OTHER_API_KEY}
    body = {"image": "registry.example/private:7", "session_id": "private-session", "environment": {"PRIVATE": "x"}}
    name = answer(await http.post(f"{houses.replicas[0]}/start", json=body, headers=of_bob))["runtime_id"]
    words = ("private", "PRIVATE", name, houses.bob.name, houses.bob.session_id, houses.bob.key, "bob")

    def told_of(text: str) -> list[str]:
        return [word for word in words if word in text]

    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(events(replica, API_KEY, **query))
            for replica in houses.replicas
            for query in ({}, {"owner": "alice"})
        ]
        for stream in streams:
            await stream.until("synced")
        await operator.report(Reason.IMAGE_NOT_FOUND, "private words", name=name)
        for url in houses.replicas:

            async def known(url: str = url) -> bool:
                return "private words" in (await http.get(f"{url}/sessions/private-session", headers=of_bob)).text

            await eventually(known)
            for path in ("/list", "/pools", "/limits", "/usage", "/api/warm-runtime-configs", "/docs"):
                response = await http.get(url + path, headers=of_alice)
                assert (response.status_code, told_of(response.text)) == (200, []), path
            # Whether there is such an owner is not told either.
            for path in ("/list", "/events", "/pools", "/limits"):
                of = [await http.get(url + path, params={"owner": who}, headers=of_alice) for who in ("bob", "nobody")]
                assert told(of[0], "bob") == told(of[1], "nobody")
                assert of[0].status_code == 403, path
            signed_in = await http.post(f"{url}/console/sign-in", data={"key": API_KEY}, headers={"Origin": url})
            cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
            for page in ("sandboxes", "sandboxes?q=ImageNotFound", "sandboxes?sort=age", "pools", "usage?owner=bob"):
                shown = await http.get(f"{url}/console/{page}", headers=cookie)
                assert (shown.status_code, told_of(shown.text)) == (200, []), page
            async with http.stream("GET", f"{url}/console/sandboxes/updates", headers=cookie) as updates:
                assert told_of(await anext(updates.aiter_text())) == []
        await operator.report(Reason.CRASH_LOOP_BACK_OFF, name=houses.alice.name)
        for stream in streams:
            await stream.until("sandbox", reason="CrashLoopBackOff")
            assert told_of(str(stream.seen)) == []
    assert told_of(generate_latest().decode()) == []
    # The words are there for those who may read them.
    url = houses.replicas[0]
    assert set(told_of(str((await http.get(f"{url}/list", headers=of_bob)).json()))) >= {houses.bob.name, "bob"}
    assert told_of((await http.get(f"{url}/sessions/private-session", headers=of_bob)).text)


async def test_lists_and_starts_are_the_owners_own(houses: Town) -> None:
    alice, bob = houses.alice, houses.bob
    key = {"X-API-Key": API_KEY}
    for replica in houses.replicas:
        listed = answer(await houses.http.get(f"{replica}/list", headers=key))
        assert [entry["runtime_id"] for entry in listed["runtimes"]] == [alice.name]
        ids = {"ids": [bob.session_id, alice.session_id, bob.name]}
        batch: list[dict[str, Any] | None] = (
            await houses.http.get(f"{replica}/sessions/batch", params=ids, headers=key)
        ).json()
        assert [entry and entry["runtime_id"] for entry in batch] == [None, alice.name, None]
        for text in (bob.name, bob.key, bob.session_id, str(bob.agent.port)):
            assert text not in str((listed, batch))
    # The same session id, of another owner.
    body = {"image": "i", "session_id": bob.session_id}
    own = answer(await houses.http.post(f"{houses.replicas[1]}/start", json=body, headers=key))
    assert own["runtime_id"] not in (alice.name, bob.name)
    assert own["session_api_key"] not in (alice.key, bob.key)


async def test_an_administrator_sees_pauses_and_stops_all_and_opens_none(houses: Town) -> None:
    alice, bob, http = houses.alice, houses.bob, houses.http
    key = {"X-API-Key": ADMIN_API_KEY}
    for replica in houses.replicas:
        listed = answer(await http.get(f"{replica}/list", headers=key))["runtimes"]
        assert {entry["runtime_id"]: entry["owner"] for entry in listed} == {alice.name: "alice", bob.name: "bob"}
        only = answer(await http.get(f"{replica}/list", params={"owner": "bob"}, headers=key))["runtimes"]
        assert [entry["runtime_id"] for entry in only] == [bob.name]
        explained = answer(await http.get(f"{replica}/explain/{bob.name}", headers=key))
        assert explained["reason"] == "Ready"
        for text in (alice.key, bob.key, "work-1-"):
            assert text not in str((listed, only))
        # What starts, resumes or opens one is its owner's.
        for path in (f"sessions/{bob.session_id}", f"runtime/{bob.name}"):
            refusal(await http.get(f"{replica}/{path}", headers=key), 404)
        refusal(await http.post(f"{replica}/resume", json={"runtime_id": bob.name}, headers=key), 404)
        batch = await http.get(f"{replica}/sessions/batch", params={"ids": bob.session_id}, headers=key)
        assert batch.json() == [None]
        opened = await http.get(f"{replica}/api/x", headers={"Host": bob.host, "X-Session-API-Key": ADMIN_API_KEY})
        assert opened.status_code == 401
        # Others do not learn of whom there are sandboxes.
        refusals = [
            refusal(await http.get(f"{replica}/list", params={"owner": owner}, headers={"X-API-Key": API_KEY}), 403)
            for owner in ("bob", "nobody")
        ]
        assert len(set(refusals)) == 1
    paused = answer(await http.post(f"{houses.replicas[0]}/pause", json={"runtime_id": bob.name}, headers=key))
    assert (paused["status"], paused["session_api_key"]) == ("paused", "")
    assert answer(await http.post(f"{houses.replicas[1]}/stop", json={"runtime_id": bob.name}, headers=key))
    left = answer(await http.get(f"{houses.replicas[1]}/list", headers=key))["runtimes"]
    assert [entry["runtime_id"] for entry in left] == [alice.name]


async def test_a_sandbox_that_somebody_else_has_put_in_a_sessions_place_is_named_and_left_alone(
    houses: Town, client: KubeClient, namespace: str
) -> None:
    name = runtime_id("alice", "squatted")
    spec = {"image": "theirs:1", "owner": "bob", "sessionID": "their-session", "service": "None"}
    body = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "metadata": {"name": name}, "spec": spec}
    made = await client.create(SANDBOXES, namespace, body)
    for replica in houses.replicas:
        sent = {"image": "i", "session_id": "squatted"}
        detail = refusal(await houses.http.post(f"{replica}/start", json=sent, headers={"X-API-Key": API_KEY}), 409)
        assert f"kubectl delete ohsb {name}" in detail
        assert not {"bob", "theirs:1", "their-session"} & set(detail.replace("'", " ").split())
    assert (await client.get(SANDBOXES, namespace, name))["metadata"]["resourceVersion"] == made["metadata"][
        "resourceVersion"
    ]
    await client.delete(SANDBOXES, namespace, name)


def forged(houses: Town, keys: MasterKeys) -> list[str]:
    """What somebody may send who has all of Alice's keys, and knows Bob's key id."""
    alice, bob = houses.alice.key, houses.bob.key
    id_of_bob, mac_of_bob = bob[: bob.index("_", 4)], bob[bob.index("_", 4) :]
    id_of_alice, mac_of_alice = alice[: alice.index("_", 4)], alice[alice.index("_", 4) :]
    return [
        id_of_bob + mac_of_alice,
        id_of_alice + mac_of_bob,
        id_of_bob,
        id_of_bob + "_",
        id_of_bob.removeprefix("ohs_"),
        id_of_bob.replace("v1-", "v2-") + mac_of_alice,
        id_of_bob + "_" + keys.secret_key(id_of_alice.removeprefix("ohs_")),
        bob[:-1],
        bob + "A",
        bob.swapcase(),
        houses.bob.name,
        API_KEY,
        OTHER_API_KEY,
        keys.internal_token(),
    ]


async def first_message(url: str, key: str, headers: Mapping[str, str] | None = None) -> tuple[object, int | None]:
    """What comes back over a WebSocket whose first message has this key: the data, and the close code."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as websocket:
        await websocket.send_json({"type": "auth", "session_api_key": key})
        message = await websocket.receive()
        return message.data, websocket.close_code


async def test_a_forged_session_key_opens_nothing_and_costs_nothing(
    houses: Town, master_keys: MasterKeys, client: KubeClient, namespace: str, audit: Audit
) -> None:
    url = houses.replicas[0]
    earlier = await audit.tally(client, namespace)
    answers: set[tuple[int, bytes]] = set()
    for key in ("ohs_v1-" + "a" * 26 + "_" + "A" * 43, *forged(houses, master_keys)):
        refused = await houses.http.get(f"{url}/api/x", headers={"X-Session-API-Key": key})
        answers.add((refused.status_code, refused.content))
        with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{url}/sockets/x", params={"session_api_key": key}),
            ):
                pass
        assert handshake.value.status == 401
        assert (await first_message(f"{url}/sockets/x", key))[1] == 1008
    # Whether the key's sandbox exists or not.
    assert [status for status, _ in answers] == [401]
    assert not by_gateway(await audit.tally(client, namespace) - earlier)
    for agent in (houses.alice.agent, houses.bob.agent):
        assert (agent.opened, agent.refused) == ([], [])


def shown(key: str, host: str) -> dict[str, dict[str, Any]]:
    """A request with the key at every place from which one is taken."""
    return {
        "header": {"headers": {"Host": host, "X-Session-API-Key": key}},
        "bearer": {"headers": {"Host": host, "Authorization": f"Bearer {key}"}},
        "cookie": {"headers": {"Host": host, "Cookie": f"oh_workspace_session_key={key}; vscode-tkn={key}"}},
        "query": {"headers": {"Host": host}, "params": {"session_api_key": key, "tkn": key}},
    }


async def test_a_session_key_opens_its_own_sandbox_alone(houses: Town) -> None:
    alice, bob = houses.alice, houses.bob
    for replica in houses.replicas:
        for place, request in shown(alice.key, bob.host).items():
            assert (await houses.http.get(f"{replica}/api/{place}", **request)).status_code == 401, place
        assert await first_message(f"{replica}/sockets/x", alice.key, {"Host": bob.host}) == (4001, 4001)
        assert bob.agent.opened == []
        assert len(bob.agent.refused) == 5
        bob.agent.refused.clear()
        # At no particular host, the key names the sandbox, whatever else comes along.
        header, query = {"X-Session-API-Key": alice.key}, {"session_api_key": bob.key}
        response = await houses.http.get(f"{replica}/api/x", headers=header, params=query)
        assert response.json() == alice.agent.port
        assert (await first_message(f"{replica}/sockets/x", alice.key))[0] == str(alice.agent.port)
        assert (bob.agent.opened, bob.agent.refused) == ([], [])
        # The requests are such that the right key opens it.
        for place, request in shown(bob.key, bob.host).items():
            assert (await houses.http.get(f"{replica}/api/{place}", **request)).json() == bob.agent.port, place
        assert (await first_message(f"{replica}/sockets/x", bob.key, {"Host": bob.host}))[0] == str(bob.agent.port)
        bob.agent.opened.clear()


async def test_anothers_session_key_neither_wakes_nor_learns(
    houses: Town, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    alice, bob = houses.alice, houses.bob
    await client.patch(SANDBOXES, namespace, bob.name, {"spec": {"suspend": True, "suspendReason": "Idle"}})
    await operator.report(Reason.IDLE, name=bob.name, **NO_POD)
    for replica in houses.replicas:

        async def sleeps(replica: str = replica) -> bool:
            return (await houses.http.get(f"{replica}/health", headers={"Host": bob.host})).status_code == 503

        await eventually(sleeps)
        for host in (bob.host, f"vscode-{bob.host}", f"work-1-{bob.host}"):
            stranger = told(await houses.http.get(f"{replica}/api/x", headers={"Host": host}), bob.name)
            assert stranger[0] == 503
            for place, request in shown(alice.key, host).items():
                response = await houses.http.get(f"{replica}/api/x", **request)
                assert told(response, bob.name) == stranger, (host, place)
    writes = await audit.writes(client, namespace, USER_AGENT)
    assert kinds([write for write in writes if write.name == bob.name and write.what != "create sandboxes"]) == []


async def test_a_failure_is_explained_to_the_sandboxs_own_key_alone(houses: Town, operator: Operator) -> None:
    alice, bob = houses.alice, houses.bob
    words = "The agent server ended with exit code 1: private words"
    await operator.report(Reason.CRASH_LOOP_BACK_OFF, words, name=bob.name)
    replica = houses.replicas[0]

    async def learns(key: str, host: str) -> list[bool]:
        answers = [await houses.http.get(f"{replica}/api/x", **request) for request in shown(key, host).values()]
        assert {response.status_code for response in answers} == {503}
        return ["private words" in response.text for response in answers]

    async def down() -> bool:
        return (await houses.http.get(f"{replica}/health", headers={"Host": bob.host})).status_code == 503

    await eventually(down)
    assert await learns(alice.key, bob.host) == [False] * 4
    assert await learns(bob.key, bob.host) == [True] * 4


@pytest.fixture
def private_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the processes of this test put their temporary files. pytest's own is too long for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="isolation-") as directory:
        Path(directory).chmod(0o755)
        monkeypatch.setenv("TMPDIR", directory)
        yield Path(directory)


def sockets(directory: Path) -> list[tuple[str, int]]:
    """The Unix sockets below, each by its name and with the mode of the directory that it is in."""
    found = directory.rglob("*.sock")
    return sorted((path.name, stat.S_IMODE(path.parent.stat().st_mode)) for path in found)


async def test_what_is_internal_refuses_strangers(
    control_plane: ControlPlane,
    namespace: str,
    master_key_dir: Path,
    operator: Operator,
    master_keys: MasterKeys,
    private_tmp: Path,
) -> None:
    arguments = (f"--base-domain={DOMAIN}", "--start-hold-seconds=0", "--poll-hold-seconds=0")
    async with (
        serving(control_plane, namespace, master_key_dir, *arguments) as process,
        town([process.url], (API_KEY, OTHER_API_KEY), operator) as houses,
    ):
        alice, bob = houses.alice, houses.bob
        for place, request in shown(alice.key, bob.host).items():
            assert (await houses.http.get(f"{process.url}/api/{place}", **request)).status_code == 401
        for token in ("", "x", API_KEY, bob.key, master_keys.internal_token()[:-1], master_keys.secret_key("v1-a")):
            refused = await process.ask(ACTIVITY, token)
            assert (refused.status_code, bob.name in refused.text) == (401, False)
        report = decode((await process.ask(ACTIVITY, master_keys.internal_token())).content)
        # Requests with Alice's key are no use of Bob's sandbox: /health, which made the gateway ready, is none either.
        assert report.sandboxes == {}
        # It is served on the port of the probes alone.
        token = {"Authorization": f"Bearer {master_keys.internal_token()}"}
        for path in (ACTIVITY, "/metrics", "/readyz"):
            assert (await houses.http.get(process.url + path, headers=token)).status_code == 401
        for path in ("/metrics", "/healthz", "/readyz"):
            text = (await process.ask(path)).text
            for private in (alice.name, bob.name, alice.session_id, API_KEY, alice.key, "alice", "bob"):
                assert private not in text
        assert sockets(private_tmp) == [("control.sock", 0o700)]
