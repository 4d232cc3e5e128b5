"""The audit log's lines: who called the Runtime API to change or reveal what, and how it ended."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import orjson
import structlog
from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_common.api_keys import ApiKey
from sandbox_common.redaction import REDACTED, redacted
from sandbox_crds.models import Sandbox
from sandbox_gateway.process.audit_log import QUEUE, AuditLog
from sandbox_gateway.process.each_second import EachSecond
from sandbox_gateway.process.metrics import OMITTED_REFUSALS
from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy.meter import AccessLog, Entry
from sandbox_gateway.runtime_api.gate import API_KEY_HEADER
from sandbox_gateway.runtime_api.paths import VerbOf, verb_of

_REFUSALS_A_SECOND = 100
"""Anybody can call with a wrong key; these lines must neither fill a disk nor take the room of the others."""
_ROOM_FOR_REFUSALS = QUEUE // 8
_BYTES = {
    "owner": 512,
    "api_key_name": 256,
    "client_ip": 64,
    "sandbox_owner": 256,
    "session_id": 512,
    "runtime_id": 256,
    "sandbox_class": 256,
    "image": 1026,
    "reason": 512,
}
"""The most bytes of each text in JSON, so that each line fits into `stdout.WHOLE`. All of a valid image fits."""
_BYTES_OF_LIST = 1920
"""The same, for the runtime ids of several sandboxes: 64 of them."""
_CUT = "…"


@dataclass(slots=True)
class Noted:
    """What a call is about, as far as its handler has noted it. `runtime_ids` are those of several sandboxes."""

    session_id: str | None = None
    runtime_id: str | None = None
    sandbox_class: str | None = None
    image: str | None = None
    runtime_ids: list[str] | None = None
    sandbox_owner: str | None = None
    refusal: str | None = None
    """Why the call was refused, if the answer is not JSON with `detail`."""

    def session(self, session_id: str, runtime_id: str) -> None:
        """The call names this session, whose sandbox may exist."""
        self.session_id, self.runtime_id = session_id, runtime_id

    def sandbox(self, sandbox: Sandbox) -> None:
        """The call is about this sandbox."""
        self.session_id, self.runtime_id = sandbox.spec.session_id, sandbox.metadata.name
        self.sandbox_class, self.image = sandbox.spec.class_name, sandbox.spec.image
        self.sandbox_owner = sandbox.spec.owner


async def noted_in(request: Request) -> Noted:
    """What the audit log will say of this request."""
    return request.state.noted


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has ended, at `ended` in seconds since 1970. `status` is None if the process ended before it."""

    ended: float
    verb: str
    status: int | None
    client_ip: str | None
    reason: str | None
    """Why it was refused, as the client reads it."""
    seconds: float | None = None
    key: ApiKey | None = None
    noted: Noted | None = None
    via: str | None = None
    """The way other than the API."""


def audit_line(call: Call, worker: Mapping[str, Any], secret: str = "") -> bytes:
    """The line of a call: one JSON object in ASCII, at most `stdout.WHOLE` bytes with its newline.

    Absent values are omitted. A text that is too long is cut, and then ends with `…`. `secret` is the client's API key:
    it is not in the line even if the client also sends it as something else.
    """
    noted, owner = call.noted or Noted(), call.key and call.key.owner
    texts = {
        "owner": owner,
        "api_key_name": call.key and call.key.name,
        "client_ip": call.client_ip,
        "session_id": noted.session_id,
        "runtime_id": noted.runtime_id,
        "sandbox_owner": None if noted.sandbox_owner == owner else noted.sandbox_owner,
        "sandbox_class": noted.sandbox_class,
        "image": noted.image,
        "reason": call.reason,
    }
    several = noted.runtime_ids
    fields: dict[str, Any] = {
        "event": "call",
        "level": "info",
        "logger": "sandbox_gateway.audit",
        "timestamp": datetime.fromtimestamp(call.ended, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "verb": call.verb,
        "via": call.via,
        "status": call.status,
        "admin": (call.key is not None and call.key.policy.admin) or None,
        "seconds": None if call.seconds is None else round(call.seconds, 6),
        **{name: _bounded(_clean(text, secret), _BYTES[name]) for name, text in texts.items() if text},
        "sandboxes": None if several is None else len(several),
        "runtime_ids": None if several is None else _first(several),
        **worker,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(present, separators=(",", ":")).encode() + b"\n"


def _clean(text: str, secret: str) -> str:
    return redacted(text.replace(secret, REDACTED) if secret else text)


def _bounded(text: str, most: int) -> str:
    """The text, or its beginning and `…`, with at most `most` bytes in JSON."""
    if len(json.dumps(text)) <= most:
        return text
    left = most - len(json.dumps(_CUT))
    kept: list[str] = []
    for character in text:
        left -= len(json.dumps(character)) - 2
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + _CUT


def _first(runtime_ids: Iterable[str]) -> list[str]:
    left = _BYTES_OF_LIST
    found: list[str] = []
    for runtime_id in runtime_ids:
        left -= len(json.dumps(runtime_id)) + 1
        if left < 0:
            break
        found.append(runtime_id)
    return found


class Auditor:
    """Writes calls to the audit log: all of those with a valid API key, and some of the others each second."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._worker = structlog.contextvars.get_contextvars()
        self._refusals = EachSecond(_REFUSALS_A_SECOND)

    async def ended(self, call: Call, secret: str) -> None:
        """Return when the answer may leave."""
        await self._log.write(audit_line(call, self._worker, secret))

    def broke_off(self, call: Call, secret: str) -> None:
        """The process ends the call, which gets no answer."""
        self._log.put(audit_line(call, self._worker, secret))

    def refused(self, call: Call) -> None:
        """It had no valid API key. Its answer does not wait."""
        has_room = self._refusals.has_room(call.ended)
        if not has_room or self._log.offer(audit_line(call, self._worker), _ROOM_FOR_REFUSALS) is None:
            OMITTED_REFUSALS.inc()


class Audit:
    """ASGI middleware around the gate: writes each audited call before its answer leaves. Without an auditor, none.

    `via` is the way to this application, if it is not the API.
    """

    def __init__(
        self, app: ASGIApp, auditor: Auditor | None, verb_of: VerbOf = verb_of, via: str | None = None
    ) -> None:
        self._app = app
        self._auditor = auditor
        self._verb_of = verb_of
        self._via = via

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        noted = state["noted"] = Noted()
        verb = self._verb_of(scope["path"])
        if self._auditor is None or verb is None:
            await self._app(scope, receive, send)
            return
        auditor, headers, began = self._auditor, Headers(scope=scope), perf_counter()
        secret = headers.get(API_KEY_HEADER, "")
        head: Message | None = None
        has_ended = False

        def call(status: int | None, reason: str | None) -> Call:
            nonlocal has_ended
            has_ended = True
            client_ip, seconds = headers.get("x-forwarded-for"), perf_counter() - began
            return Call(time.time(), verb, status, client_ip, reason, seconds, state.get("api_key"), noted, self._via)

        async def answered(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head is not None:
                first, head = head, None
                ended = call(first["status"], noted.refusal or _reason(first["status"], message["body"]))
                if ended.key is None:
                    auditor.refused(ended)
                else:
                    await auditor.ended(ended, secret)
                await send(first)
            await send(message)

        try:
            await self._app(scope, receive, answered)
        except Exception:
            # What is outside of this middleware answers with 500.
            if not has_ended:
                await auditor.ended(call(500, None), secret)
            raise
        except BaseException:
            if not has_ended:
                auditor.broke_off(call(None, None), secret)
            raise


class RefusedKeys:
    """Implements `meter.AccessLog` before another one: also audits the calls that the data plane refuses."""

    def __init__(self, log: AccessLog, auditor: Auditor) -> None:
        self.everything = log.everything
        self._log = log
        self._auditor = auditor

    def new_span(self) -> str:
        """That of the other log."""
        return self._log.new_span()

    def take(self, entry: Entry) -> None:
        """Log it, and audit it if it was a call of the Runtime API without a valid API key."""
        self._log.take(entry)
        if entry.route is not Route.GATEWAY or entry.status != 401:
            return
        # On these paths, the data plane refuses nothing else with 401.
        verb = verb_of(unquote(entry.target.partition(b"?")[0].decode("latin-1")))
        if verb is not None:
            self._auditor.refused(Call(time.time(), verb, entry.status, entry.client_ip, entry.detail))


def _reason(status: int, body: bytes) -> str | None:
    return orjson.loads(body)["detail"] if status >= 400 else None
