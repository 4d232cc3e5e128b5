"""The gateway's own answers."""

from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import orjson

from sandbox_gateway.contract.retry import RETRY, Passing


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. `body` is JSON text, or empty."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def encode(self, *, close: bool, head_only: bool) -> bytes:
        """The bytes to send; `head_only` for an answer to HEAD."""
        parts = [b"HTTP/1.1 %d %b\r\n" % (self.status, HTTPStatus(self.status).phrase.encode())]
        parts.append(b"Date: %b\r\n" % formatdate(usegmt=True).encode())
        parts += [b"%b: %b\r\n" % header for header in self.headers]
        if self.body:
            parts.append(b"Content-Type: application/json\r\n")
        if self.status != 204:
            parts.append(b"Content-Length: %d\r\n" % len(self.body))
        if close:
            parts.append(b"Connection: close\r\n")
        parts.append(b"\r\n")
        if not head_only:
            parts.append(self.body)
        return b"".join(parts)


HEALTHY = Answer(200, orjson.dumps({"status": "ok"}))


def refuse(status: int, detail: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error in the form that every client of the Runtime API reads: a JSON object with `detail`."""
    if status == 401:
        headers = (*headers, (b"WWW-Authenticate", b"X-Session-API-Key"))
    return Answer(status, orjson.dumps({"detail": detail}), headers)


def refuse_for_now(why: Passing, detail: str) -> Answer:
    """A refusal after which another attempt may succeed."""
    status, seconds = RETRY[why]
    return refuse(status, detail, (b"Retry-After", b"%d" % seconds))


def unknown_api_key(api_key: str) -> Answer:
    """The answer to a call of the Runtime API without a valid key."""
    detail = "X-API-Key is not a known API key" if api_key else "X-API-Key is missing: send your API key in it"
    return Answer(401, orjson.dumps({"detail": detail}))


def too_many(runtime_id: str, limit: int, *, websockets: bool) -> Answer:
    """The answer to a request beyond the maximum of its sandbox."""
    what, value = (
        ("WebSockets open", "websocketsPerSandbox") if websockets else ("requests under way", "requestsPerSandbox")
    )
    detail = (
        f"Sandbox {runtime_id} has {limit} {what} through this gateway, the most that one may have. Wait until "
        f"some have ended; operators may raise gateway.{value} of the chart."
    )
    return refuse_for_now(Passing.TOO_MANY_OF_SANDBOX, detail)


TOO_MANY_OF_OWNER = refuse_for_now(
    Passing.TOO_MANY_OF_OWNER,
    "The sandboxes of this owner have as many requests under way and WebSockets open through this gateway process as "
    "there is room for beside other owners'. Wait until some have ended; operators may run more replicas or workers of "
    "the gateway.",
)


def nothing_listens(service: str, port: object) -> str:
    """What is missing when a service refuses connections, as the end of a sentence."""
    if service == "vscode":
        return (
            f"has no VSCode on port {port}. It needs an image with VSCode and OH_ENABLE_VSCODE=1 in its environment, "
            "and a moment to start."
        )
    return (
        f"has nothing that listens on port {port}, which is {service}'s. Start a server in it on that port, on all "
        "addresses (0.0.0.0) and not on localhost alone."
    )
