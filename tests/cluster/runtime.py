"""A sandbox as a plain HTTP client of the Runtime API has it."""

import json
import uuid
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from cluster.site import Site
from cluster.support import eventually

# Twice what a boot takes on a busy machine.
READY_SECONDS = 120
TOOLS = ("terminal", "file_editor")


class Runtime:
    """One session. `identity` is what must never change: runtime id, URL and session key."""

    def __init__(self, site: Site, image: str, **body: Any) -> None:
        """Start it; `body` are more fields of /start."""
        self.site = site
        self.session_id = uuid.uuid4().hex
        self._image, self._body = image, body
        started = self.start()
        self.identity = identity(started)
        self.id, url, key = self.identity
        # Host names of host mode are known to the gateway, not to this machine.
        headers = {"Host": urlsplit(url).netloc, "X-Session-API-Key": key}
        self.agent = httpx.Client(base_url=site.url, headers=headers, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.close()
        self.call("stop")

    def start(self, **changed: Any) -> dict[str, Any]:
        """What /start answers, with these fields of its body changed."""
        body: dict[str, Any] = {
            "session_id": self.session_id,
            "image": self._image,
            "environment": {},
            **self._body,
            **changed,
        }
        answer = self.site.gateway.post("/start", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, action: str) -> dict[str, Any]:
        """POST /pause, /resume or /stop."""
        answer = self.site.gateway.post(f"/{action}", json={"runtime_id": self.id})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self) -> dict[str, Any]:
        answer = self.site.gateway.get(f"/sessions/{self.session_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def await_ready(self) -> dict[str, Any]:
        return eventually(self.look, lambda seen: seen["pod_status"] == "ready", READY_SECONDS)

    def pause(self) -> dict[str, Any]:
        """Pause it and await the end of its pod; gives what /pause answered."""
        answer = self.call("pause")
        eventually(lambda: self.condition()["reason"], lambda reason: reason == "Suspended")
        return answer

    def try_pause(self) -> httpx.Response:
        """What /pause answers, which may be a refusal."""
        return self.site.gateway.post("/pause", json={"runtime_id": self.id})

    def resume(self) -> None:
        assert identity(self.call("resume")) == self.identity
        assert identity(self.await_ready()) == self.identity

    def make_idle(self) -> None:
        """Suspend it as the operator does when nobody has used it for long enough."""
        patch = json.dumps({"spec": {"suspend": True, "suspendReason": "Idle"}})
        self.site.kubectl("patch", "ohsb", self.id, "--type=merge", f"--patch={patch}")
        eventually(lambda: self.condition()["reason"], lambda reason: reason == "Idle")

    def object(self) -> dict[str, Any]:
        """The Sandbox."""
        return self.site.kubectl("get", "ohsb", self.id, "--output", "json")

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        conditions = self.object().get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == kind), {"reason": ""})

    def run(self, command: str) -> str:
        """Standard output of a command that succeeds."""
        answer = self.agent.post("/api/bash/execute_bash_command", json={"command": command, "cwd": "/workspace"})
        assert answer.status_code == 200, answer.text
        output = answer.json()
        assert output["exit_code"] == 0, output
        return output["stdout"]

    def converse(self, task: str, model: str, tools: Sequence[str] = TOOLS) -> str:
        """Give an agent with the scripted model at the URL `model` a task; gives the conversation's id at once."""
        message = {"role": "user", "content": [{"type": "text", "text": task}], "run": True}
        return self.open_conversation(model, tools, initial_message=message)

    def open_conversation(self, model: str, tools: Sequence[str] = TOOLS, **body: Any) -> str:
        """A conversation's id; its agent has the scripted model at the URL `model`, `body` are more of its fields."""
        llm = {"usage_id": "agent", "model": "openai/scripted", "base_url": model, "api_key": "any"}
        body |= {
            "agent": {"kind": "Agent", "llm": llm, "tools": [{"name": name} for name in tools]},
            "workspace": {"kind": "LocalWorkspace", "working_dir": "/workspace"},
        }
        answer = self.agent.post("/api/conversations", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def observations(self, conversation: str) -> list[str]:
        """What its tools have shown the agent, in order."""
        answer = self.agent.get(f"/api/conversations/{conversation}/events/search", params={"limit": 100})
        assert answer.status_code == 200, answer.text
        seen = [event["observation"] for event in answer.json()["items"] if event["kind"] == "ObservationEvent"]
        return ["".join(part.get("text", "") for part in one["content"]) for one in seen]

    def conversation_status(self, conversation: str) -> str:
        answer = self.agent.get(f"/api/conversations/{conversation}")
        assert answer.status_code == 200, answer.text
        return answer.json()["execution_status"]


def identity(answer: dict[str, Any]) -> tuple[str, str, str]:
    return answer["runtime_id"], answer["url"], answer["session_api_key"]
