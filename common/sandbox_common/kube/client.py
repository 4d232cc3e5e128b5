"""A small Kubernetes client: dicts in, dicts out.

`kubernetes.aio` provides configuration, credentials and TLS. This client does not use its typed models, which take ten
times the CPU of a call, nor its way to send requests, which encodes JSON with the standard library.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Protocol, Self, cast
from urllib.parse import urlencode

import aiohttp
import orjson
import structlog
from aiohttp.connector import Connection
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as _kube_config

from sandbox_common.kube.errors import FAILURES, UNCERTAIN, ApiError
from sandbox_common.kube.repetition import Repetition, retry_after
from sandbox_common.kube.resources import PODS, Resource

type KubeObject = dict[str, Any]
type Guard = Callable[[], float]
"""Called right before each write. Returns for how many seconds the write may be in transit, or raises to prevent it."""
type Observer = Callable[[str, int], None]
"""Called for each answer, with the request's method and the status code."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# This module has no type annotations.
kube_config: Any = _kube_config

CALL_SECONDS = 15.0
"""Timeout of one call, with all its attempts."""
_PATIENCE_SECONDS = 2.0
_LEAST_SECONDS = 0.1
"""Minimum timeout of an attempt: aiohttp takes 0 as no limit."""
_CONNECT_SECONDS = 5.0
_PAGE_ITEMS = 250
"""About 2 MB of JSON for pods, and many times that once decoded."""
_WATCH_SILENCE_SECONDS = 90
"""A healthy watch sends a bookmark at least every minute."""

_LOG_BUFFER = 16 * 1024
"""The node waits when a reader of a log has not taken twice as much."""

_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


class _Request(aiohttp.ClientRequest):
    """Asks the guard once there is a connection. Waiting for one may take long; after that, nothing is awaited."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if guard := _guard.get():
            _limit(conn, guard())
        return await super().send(conn)


def _limit(connection: Connection, seconds: float) -> None:
    """Make the kernel drop data that the server's kernel has not acknowledged after `seconds`.

    Otherwise the kernel would retry for minutes, even after the process has ended, until a broken network recovers.
    """
    transport = connection.transport
    if transport is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = max(int(seconds * 1000), 1)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class Lines(Protocol):
    """A stream that is read line by line."""

    async def readline(self) -> bytes:
        """The next line, or b"" at the end."""
        ...


class Chunks(Protocol):
    """A stream that is read as it comes."""

    async def readany(self) -> bytes:
        """What has come, at least one byte, or b"" at the end."""
        ...


class KubeClient:
    """Requests to one API server. Timeouts raise TimeoutError, broken connections aiohttp.ClientError.

    Failures that may pass (sandbox_common.kube.repetition) are retried for `patience` seconds, and then raised.
    """

    def __init__(
        self,
        api: kube_client.ApiClient,
        session: aiohttp.ClientSession,
        guard: Guard | None = None,
        observer: Observer | None = None,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._api: Any = api
        self._session = session
        self._guard = guard
        self._observer = observer
        self._patience = patience

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        user_agent: str = "openhands-sandbox",
        observer: Observer | None = None,
        context: str | None = None,
        patience: float = _PATIENCE_SECONDS,
    ) -> Self:
        """Connect with `kubeconfig`, or by default with the pod's service account, else $KUBECONFIG or ~/.kube/config.

        `context` is a context of `kubeconfig`; default: its current one. Raises kubernetes.aio.config.ConfigException
        if there is no configuration.
        """
        configuration = kube_client.Configuration()
        if kubeconfig is not None:
            await kube_config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
        else:
            try:
                kube_config.load_incluster_config(client_configuration=configuration)
            except kube_config.ConfigException:
                await kube_config.load_kube_config(client_configuration=configuration)
        api: Any = kube_client.ApiClient(configuration)
        api.user_agent = user_agent
        return cls(api, _session(api), observer=observer, patience=patience)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._api.close()

    def guarded(self, guard: Guard) -> "KubeClient":
        """A client over the same connections, whose writes raise what `guard` raises."""
        return KubeClient(self._api, self._session, guard, self._observer, self._patience)

    @property
    def configuration(self) -> kube_client.Configuration:
        """Address and credentials, for libraries that connect by themselves."""
        return self._api.configuration

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """GET one object. Raises ApiError (404 if there is none)."""
        return await self._send("GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> KubeObject | None:
        """GET one object; None if there is none. Raises ApiError."""
        try:
            return await self.get(resource, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def list(self, resource: Resource, namespace: str, **query: str) -> KubeObject:
        """The whole list object. Raises ApiError."""
        return await self._send("GET", resource.path(namespace), query, accept=resource.accepts(a_list=True))

    async def pages(self, resource: Resource, namespace: str, **query: str) -> AsyncGenerator[KubeObject]:
        """The list in pages, all of one resource version, so that a long list is never in memory as a whole.

        Raises ApiError (410 if reading took so long that the server has forgotten the rest).
        """
        query["limit"] = str(_PAGE_ITEMS)
        while True:
            page = await self.list(resource, namespace, **query)
            query["continue"] = page["metadata"].get("continue", "")
            yield page
            del page
            if not query["continue"]:
                return

    async def create(self, resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        """POST. Returns the object as stored. Raises ApiError (409 if the name exists, even by an earlier attempt)."""
        return await self._send("POST", resource.path(namespace), body=body)

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        """JSON merge patch (RFC 7396) of an object or its subresource. Raises ApiError."""
        path = resource.path(namespace, name, subresource)
        return await self._send("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> KubeObject:
        """JSON patch (RFC 6902), all of it or nothing. Raises ApiError (422 if a `test` fails)."""
        path = resource.path(namespace, name)
        return await self._send("PATCH", path, body=operations, content_type="application/json-patch+json")

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        """DELETE. Owned objects are deleted in the background. It is not an error if the object is gone already.

        With `uid`, only the object with this UID is deleted; with `resource_version`, only in this state. Raises
        ApiError (409 if it is another object or state).
        """
        body: KubeObject = {"propagationPolicy": "Background"}
        wanted = {"uid": uid, "resourceVersion": resource_version}
        if preconditions := {name: value for name, value in wanted.items() if value}:
            body["preconditions"] = preconditions
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self._send("DELETE", resource.path(namespace, name), body=body)
        except ApiError as error:
            # If an earlier attempt has deleted it, another object may have its name by now.
            is_gone = error.code == 404 or (error.code == 409 and error.uncertain and uid and not resource_version)
            if not is_gone:
                raise

    @asynccontextmanager
    async def watch(self, resource: Resource, namespace: str, **query: str) -> AsyncGenerator[Lines]:
        """The open stream of a watch, with one JSON event a line. Raises ApiError if the server refuses it."""
        path, accept = resource.path(namespace), resource.accepts(a_list=False)
        async with self._open(path, {**query, "watch": "true"}, accept, _WATCH_SILENCE_SECONDS) as content:
            yield content

    @asynccontextmanager
    async def log(self, namespace: str, pod: str, **query: str) -> AsyncGenerator[Chunks]:
        """The open stream of a container's log, with a small buffer. There is one attempt.

        Raises ApiError: 400 or 404 if the pod or its container has none, 500 and more if its node does not answer.
        """
        async with self._open(PODS.path(namespace, pod, "log"), query, "*/*", buffer=_LOG_BUFFER) as content:
            yield content

    @asynccontextmanager
    async def _open(
        self,
        path: str,
        query: Mapping[str, str],
        accept: str,
        silence_seconds: float | None = None,
        buffer: int | None = None,
    ) -> AsyncGenerator[aiohttp.StreamReader]:
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=silence_seconds)
        response = await self._request("GET", path, query, accept=accept, timeout=timeout, buffer=buffer)
        try:
            if response.status >= 300:
                raise _refusal(response, await response.read())
            yield response.content
        finally:
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> KubeObject:
        loop = asyncio.get_running_loop()
        repetition, deadline = Repetition(self._patience, loop.time()), loop.time() + CALL_SECONDS
        while True:
            # Not `connect`: that timeout includes the time in which a request of a burst waits for a connection.
            left = max(deadline - loop.time(), _LEAST_SECONDS)
            timeout = aiohttp.ClientTimeout(total=left, sock_connect=_CONNECT_SECONDS)
            try:
                return await self._attempt(method, path, query, body, content_type, accept, timeout)
            except FAILURES as failure:
                pause = repetition.pause(failure, loop.time())
                if pause is None or loop.time() + pause >= deadline:
                    if isinstance(failure, ApiError):
                        failure.uncertain = repetition.uncertain
                    elif repetition.uncertain:
                        failure.add_note(UNCERTAIN)
                    raise
                # The caller may give up earlier, and then only this log shows the cause.
                error = str(failure) or type(failure).__name__
                _log.warning("request to be repeated", method=method, path=path, error=error, retry_in=round(pause, 2))
            await asyncio.sleep(pause)

    async def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        content_type: str,
        accept: str,
        timeout: aiohttp.ClientTimeout,
    ) -> KubeObject:
        response = await self._request(method, path, query, body, content_type, accept, timeout=timeout)
        text = await response.read()
        if response.status >= 300:
            raise _refusal(response, text)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise aiohttp.ClientPayloadError(f"the answer is no JSON: {error}") from error

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        *,
        timeout: aiohttp.ClientTimeout,
        buffer: int | None = None,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": self._api.user_agent}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._api.configuration.host}{path}"
        if query:
            url = f"{url}?{urlencode(query)}"
        configuration = self._api.configuration
        guard = _guard.set(self._guard if method != "GET" else None)
        try:
            response = await self._session.request(
                method,
                url,
                headers=headers,
                data=None if body is None else orjson.dumps(body),
                timeout=timeout,
                proxy=configuration.proxy,
                proxy_headers=configuration.proxy_headers,
                server_hostname=configuration.tls_server_name,
                read_bufsize=buffer,
            )
        finally:
            _guard.reset(guard)
        if self._observer:
            self._observer(method, response.status)
        return response


def _session(api: Any) -> aiohttp.ClientSession:
    """Connections to the API server."""
    configuration, tls = api.configuration, api.rest_client.ssl_context
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=configuration.connection_pool_maxsize, ssl=tls),
        # Otherwise proxy variables are looked up for each request, with 3.4 times the CPU.
        trust_env=False,
        # An event of a watch is one line.
        read_bufsize=2**21,
        request_class=_Request,
    )


def _refusal(response: aiohttp.ClientResponse, text: bytes) -> ApiError:
    try:
        answer: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        answer = None
    status = cast(KubeObject, answer) if isinstance(answer, dict) else {}
    return ApiError(
        response.status,
        str(status.get("reason") or response.reason or ""),
        str(status.get("message") or text[:500].decode(errors="replace")),
        retry_after(response.headers.get("Retry-After", "")),
        _causes(status),
    )


def _causes(status: KubeObject) -> list[str]:
    match status:
        case {"details": {"causes": [*causes]}}:
            found = (cast(KubeObject, cause) for cause in cast(list[object], causes) if isinstance(cause, dict))
            return [reason for cause in found if (reason := cause.get("reason"))]
        case _:
            return []
