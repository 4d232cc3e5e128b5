"""The sandboxes of the wrong server: each a directory, an environment, and commands that a real shell runs."""

import os
import secrets
import shutil
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import HTTPException, WebSocket
from pydantic import BaseModel

from unit.conformance.faults import Fault

GONE = "gone"
_WORKSPACE = "/workspace"


@dataclass(slots=True, eq=False)
class Box:
    """One of them. `directory` stands for its /workspace."""

    owner: str
    session_id: str
    image: str
    environment: dict[str, str]
    directory: Path
    runtime_id: str = field(default_factory=lambda: "r" + secrets.token_hex(8))
    key: str = field(default_factory=lambda: f"session-key-{secrets.token_hex(16)}")
    status: str = "starting"
    polled: bool = False
    looks_paused: bool = False
    unready_requests: int = 0
    """How many requests fail yet, although it is told to be ready."""
    commands: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    conversations: dict[str, set[WebSocket]] = field(default_factory=dict[str, set[WebSocket]])

    @property
    def pullable(self) -> bool:
        """Whether its image exists."""
        return "no-such-image" not in self.image

    async def close(self, code: int) -> None:
        """Close all WebSockets."""
        for open_ones in self.conversations.values():
            for socket in list(open_ones):
                await socket.close(code)

    def empty(self) -> None:
        """Lose all files."""
        shutil.rmtree(self.directory)
        self.directory.mkdir()

    def path(self, path: str) -> Path:
        """Where a file of its /workspace really is."""
        return self.directory / path.removeprefix(_WORKSPACE).lstrip("/")

    def run(self, command: str) -> dict[str, Any]:
        """Run a command; gives its output as the agent server stores it."""
        here = command.replace(_WORKSPACE, str(self.directory))
        env = {"PATH": os.environ["PATH"], **self.environment}
        ended = subprocess.run(["sh", "-c", here], env=env, capture_output=True, text=True)
        identity = uuid.uuid4().hex
        self.commands[identity] = {
            "kind": "BashOutput",
            "command_id": identity,
            "exit_code": ended.returncode,
            "stdout": ended.stdout,
            "stderr": ended.stderr,
        }
        return self.commands[identity]


class Start(BaseModel):
    """Body of /start."""

    image: str
    session_id: str | None
    command: str | list[str]
    environment: dict[str, str]


class Boxes:
    """All of them; the fault decides what becomes of them and what is told."""

    def __init__(self, fault: Fault, directory: Path) -> None:
        self.fault = fault
        self._directory = directory
        self._boxes: list[Box] = []
        self._old_keys: dict[str, str] = {}
        self._used: set[str] = set()

    def by_key(self, key: str) -> Box | str | None:
        """A session key's box; GONE when it has been deleted, None when there never was one."""
        if self.fault is Fault.SESSION_KEY_UNCHECKED and key in {"", "wrong"} and self._boxes:
            return self._boxes[0]
        return next((box for box in self._boxes if box.key == key), self._old_keys.get(key))

    def of(self, owner: str) -> list[Box]:
        """An owner's."""
        return [box for box in self._boxes if box.owner == owner or self.fault is Fault.EVERY_OWNER_SEES_ALL]

    def by_session(self, owner: str, session_id: str) -> Box | None:
        """An owner's, by session id."""
        if self.fault is Fault.SESSION_IDS_IGNORE_CASE:
            return next((box for box in self.of(owner) if box.session_id.lower() == session_id.lower()), None)
        return next((box for box in self.of(owner) if box.session_id == session_id), None)

    def by_runtime(self, owner: str, runtime_id: str) -> Box:
        """An owner's, by runtime id; else 404."""
        for box in self.of(owner):
            if box.runtime_id == runtime_id:
                return box
        raise HTTPException(404, "no such sandbox")

    def start(self, owner: str, body: Start) -> Box:
        """The session's."""
        session_id = str(body.session_id)
        if body.session_id is None and self.fault is not Fault.NULL_SESSION_ACCEPTED:
            raise HTTPException(422, "session_id must not be null")
        if isinstance(body.command, str) and self.fault is Fault.COMMAND_MUST_BE_A_LIST:
            raise HTTPException(422, "command must be a list")
        known = self.by_session(owner, session_id)
        if self.fault is Fault.SESSION_USED_UP and session_id in self._used:
            raise HTTPException(409, "the session has been used")
        if known is not None:
            if self.fault is Fault.CONFLICT_ON_START:
                raise HTTPException(409, "the session is there")
            if known.status == "paused":
                known.status = "starting"
            return known
        environment = body.environment
        if self.fault is Fault.ENVIRONMENT_EXPANDED:
            environment = {name: value.replace("$HOME", "/root") for name, value in environment.items()}
        directory = self._directory / f"box-{len(list(self._directory.iterdir()))}"
        directory.mkdir()
        box = Box(owner, session_id, body.image, environment, directory)
        if self.fault is Fault.RUNTIME_ID_IN_CAPITALS:
            box.runtime_id = box.runtime_id.upper()
        if self.fault is Fault.STARTED_TOO_EARLY:
            box.unready_requests = 1
        self._boxes.append(box)
        return box

    async def pause(self, box: Box) -> None:
        """Close its sockets, forget its commands."""
        if self.fault is Fault.PAUSE_FAILS:
            raise HTTPException(409, "not now")
        if self.fault is Fault.PAUSE_WITHOUT_EFFECT:
            return
        box.status = "paused"
        await box.close(1000 if self.fault is Fault.PAUSE_CLOSES_NORMALLY else 1012)
        if self.fault is Fault.WORKSPACE_LOST:
            box.empty()

    def resume(self, box: Box) -> None:
        """Run it again."""
        if self.fault is Fault.RESUME_FAILS:
            raise HTTPException(409, "not now")
        if box.status == "paused":
            box.status = "starting"
            box.looks_paused = self.fault is Fault.RESUMED_LOOKS_PAUSED
            if self.fault is Fault.RESUMED_IS_ANOTHER:
                box.runtime_id += "x"
            if self.fault is Fault.KEY_ROTATED:
                box.key = f"rotated-{box.key}"
            if self.fault is Fault.READY_TOO_EARLY:
                box.status, box.unready_requests = "running", 1

    async def stop(self, owner: str, runtime_id: str) -> None:
        """Delete it."""
        try:
            box = self.by_runtime(owner, runtime_id)
        except HTTPException:
            if self.fault is Fault.STOP_TWICE_FAILS:
                raise HTTPException(500, "it is not there") from None
            raise
        if self.fault is Fault.STOP_WITHOUT_EFFECT:
            return
        await box.close(1012)
        self._boxes.remove(box)
        self._old_keys[box.key] = GONE
        self._used.add(box.session_id)
