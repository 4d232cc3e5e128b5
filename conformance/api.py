"""The Runtime API as its clients call it: their headers, their time-outs, no redirects, no retries."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import httpx

from conformance.contract import SDK_POLL_SECONDS
from conformance.target import Secrets


@dataclass(frozen=True, slots=True, repr=False)
class Exchange:
    """One request and its answer. `text` is the answer's body, without keys."""

    method: str
    path: str
    status: int
    text: str
    seconds: float
    body: Any = None
    """The answer's JSON, None if it is none."""

    @property
    def ok(self) -> bool:
        """Whether a client's `raise_for_status` lets it pass."""
        return 200 <= self.status < 300

    @property
    def fields(self) -> dict[str, Any]:
        """The answer, which must be a good one and a JSON object. Raises AssertionError."""
        assert self.ok, f"{self} is no success"
        return as_object(self.body, str(self))

    def __repr__(self) -> str:
        return f"{self.method} {self.path} -> {self.status} {self.text[:400]!r}"


class RuntimeApi:
    """A client with one API key. Remembers every exchange. Raises httpx.HTTPError when there is no answer."""

    def __init__(self, url: str, api_key: str, secrets: Secrets) -> None:
        self.exchanges: list[Exchange] = []
        self._url = url
        self._secrets = secrets
        self._lock = threading.Lock()
        self._client = httpx.Client(headers={"X-API-Key": api_key} if api_key else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        seconds: float = SDK_POLL_SECONDS,
    ) -> Exchange:
        """GET; `path` goes into the URL as it is, as the SDK writes it."""
        return self._send("GET", path, seconds, params=list(params), headers=headers)

    def post(
        self,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        session_api_key: str = "",
        seconds: float = SDK_POLL_SECONDS,
    ) -> Exchange:
        """POST of JSON. Once it is connected, the SDK sends the session key along here, too."""
        headers = {"X-Session-API-Key": session_api_key} if session_api_key else {}
        if content is not None:
            return self._send(
                "POST", path, seconds, content=content, headers={**headers, "Content-Type": "application/json"}
            )
        return self._send("POST", path, seconds, json=body, headers=headers)

    def _send(self, method: str, path: str, seconds: float, **options: Any) -> Exchange:
        timeout = httpx.Timeout(10, read=seconds)
        started = time.monotonic()
        response = self._client.request(method, self._url + path, timeout=timeout, **options)
        seconds = time.monotonic() - started
        body = _json(response)
        with self._lock:
            _remember_keys(body, self._secrets)
            text = self._secrets.hide(response.text)
            exchange = Exchange(method, path, response.status_code, text, seconds, body)
            self.exchanges.append(exchange)
        return exchange


def as_object(value: Any, what: str) -> dict[str, Any]:
    """The value, which must be a JSON object. Raises AssertionError."""
    assert isinstance(value, dict), f"{what} must be a JSON object"
    return cast("dict[str, Any]", value)


def as_list(value: Any, what: str) -> list[Any]:
    """The value, which must be a JSON list. Raises AssertionError."""
    assert isinstance(value, list), f"{what} must be a JSON list"
    return cast("list[Any]", value)


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A field, which must be a text that is not empty. Raises AssertionError."""
    value = fields.get(name)
    assert isinstance(value, str), f"{name} must be a string, is {value!r}"
    assert value, f"{name} is empty"
    return value


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _remember_keys(body: Any, secrets: Secrets) -> None:
    match body:
        case list():
            for entry in cast("list[Any]", body):
                _remember_keys(entry, secrets)
        case dict():
            fields = cast("dict[str, Any]", body)
            secrets.add(fields.get("session_api_key"))
            _remember_keys(fields.get("runtimes"), secrets)
        case _:
            pass
