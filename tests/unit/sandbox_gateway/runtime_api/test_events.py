"""The stream of events, as text."""

import asyncio
import json
from typing import Any, cast

import pytest

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.contract.responses import RuntimeResponse
from sandbox_gateway.runtime_api import events
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.events import followed
from sandbox_gateway.sandboxes.classes import SandboxClasses
from unit.sandbox_gateway.sandboxes.test_feed import Scene
from unit.sandbox_gateway.support import KEYS, Classes, status

type Event = tuple[str, dict[str, Any]]


def parsed(text: bytes) -> list[Event]:
    """The events of a text, by the rules of the HTML standard as far as they are used."""
    found: list[Event] = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


class Client:
    """Reads alice's stream of a scene."""

    def __init__(self, scene: Scene, reach: str | None = "alice") -> None:
        answers = Answers(KEYS, scene.cache, cast("SandboxClasses", Classes()), Addresses())

        def show(sandbox: Sandbox, seen: View) -> RuntimeResponse | None:
            return answers.one_of_several(sandbox, seen, Origin("http", "gateway.test"), "alice", with_key=False)

        self.pieces = followed(scene.feed, reach, show)

    async def next(self) -> bytes:
        return await asyncio.wait_for(anext(self.pieces), 20)

    async def until_synced(self) -> list[Event]:
        found: list[Event] = []
        while not found or found[-1][0] != "synced":
            found += parsed(await self.next())
        return found


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(events, "TOGETHER_SECONDS", 0.01)
    return Scene()


async def test_the_present_state_comes_first_and_then_what_changes(scene: Scene) -> None:
    for number in range(40):
        scene.put(f"sb-{number:02}", status=status(Reason.UNSCHEDULABLE, "No room."))
    scene.put("sb-of-bob", "bob")
    client = Client(scene)
    assert (await client.next()).startswith(b"retry: ")
    *present, synced = await client.until_synced()
    assert {kind for kind, _ in present} == {"sandbox"}
    assert [data["runtime_id"] for _, data in present] == [f"sb-{number:02}" for number in range(40)]
    assert synced == ("synced", {"total": 40})
    sandbox = RuntimeResponse.model_validate(present[0][1], extra="forbid")
    assert (sandbox.status, sandbox.reason, sandbox.owner) == ("starting", "Unschedulable", "alice")

    scene.put("sb-07", spec={"suspend": True})
    scene.put("sb-of-bob", "bob", spec={"suspend": True})
    [(kind, data)] = parsed(await client.next())
    assert (kind, data["runtime_id"], data["status"]) == ("sandbox", "sb-07", "paused")
    scene.drop("sb-07")
    assert parsed(await client.next()) == [("gone", {"runtime_id": "sb-07"})]
    await client.pieces.aclose()


async def test_no_event_has_a_session_key(scene: Scene) -> None:
    scene.put(status={**status(Reason.STARTING), "keyID": KEYS.key_id("sb-a")})
    client = Client(scene)
    found = await client.until_synced()
    assert found[0][1]["session_api_key"] == ""
    assert KEYS.session_key(KEYS.key_id("sb-a")) not in str(found)


async def test_a_client_that_reads_slowly_gets_the_newest_state_once(scene: Scene) -> None:
    scene.put()
    client = Client(scene)
    await client.until_synced()
    for number in range(100):
        scene.put(status=status(Reason.UNSCHEDULABLE, f"Look {number}."))
    [(_, data)] = parsed(await client.next())
    assert "Look 99." in data["status_detail"]


async def test_a_silent_stream_has_a_heartbeat(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    client = Client(scene)
    await client.until_synced()
    assert await client.next() == b":\n\n"


async def test_hostile_texts_stay_in_one_line(scene: Scene) -> None:
    scene.put(spec={"sessionID": "a\n\nevent: gone\r\ndata: {}\u2028<script>"})
    found = await Client(scene).until_synced()
    assert [kind for kind, _ in found] == ["sandbox", "synced"]
    assert found[0][1]["session_id"] == "a\n\nevent: gone\r\ndata: {}\u2028<script>"
