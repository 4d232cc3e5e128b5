"""The operator's requests to agent servers.

Each is sent on a connection of its own, and only after the API server has said that the address is the pod's
(sandbox_common.pod_identity).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, Self, override

import aiohttp
import structlog
from aiohttp.connector import Connection
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sandbox_common.command import AGENT, agent_port, present_port
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import FAILURES
from sandbox_crds.models import Sandbox
from sandbox_operator.watching.pods import Pod

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PREPARE = "/api/conversations/prepare-for-sandbox-pause"
_PREPARE_SECONDS = 10.0
_ABSENT = frozenset({404, 405})
"""Status codes of an agent server that does not have this endpoint yet."""

_INIT = "/api/init"
_INIT_SECONDS = 10.0
_INIT_PAUSES = (0.05, 0.2, 0.5, 1.0)

_INFO = "/server_info"
_RUNNING = "/api/conversations/count?status=running"
_ANSWER_SECONDS = 5.0
_ANSWER_BYTES = 256 * 1024
"""Upper bound of an answer: any program in a sandbox may answer instead of the agent server."""
_LONGEST_SECONDS = 1e10
"""Three centuries: no clock is moved further, and date arithmetic works with it."""
_Seconds = Annotated[float, Field(ge=-_LONGEST_SECONDS, le=_LONGEST_SECONDS, allow_inf_nan=False)]


class _Info(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    uptime: _Seconds
    idle_time: _Seconds


class _InitState(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    state: str


class InitError(Exception):
    """An agent server cannot be initialized. The message contains nothing of the request."""


_COUNT = TypeAdapter(Annotated[int, Field(ge=0, strict=True)], config=ConfigDict(hide_input_in_errors=True))


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent server reports: seconds by its own wall clock, and the number of running conversations."""

    uptime: float
    idle_time: float
    running: int


class Address(NamedTuple):
    """Where an agent server listens, and the name and UID of its pod."""

    ip: str
    port: int
    pod: str
    uid: str


type Denial = Callable[[str, str, str], Awaitable[str]]
"""As `PodIdentities.denial`."""


class WrongPodError(aiohttp.ClientError):
    """The address is not the pod's. Nothing was sent."""


class UnprovenError(aiohttp.ClientError):
    """The API server does not say whose address it is. Nothing was sent."""


_prove: ContextVar[Callable[[], Awaitable[None]]] = ContextVar("prove")


class _Request(aiohttp.ClientRequest):
    """Its connection is proven before it is sent."""

    @override
    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        await _prove.get()()
        return await super().send(conn)


class AgentServers:
    """Sends requests to the agent servers of all sandboxes. Must be made inside the event loop, and closed."""

    def __init__(self, keys: MasterKeys, denial: Denial) -> None:
        self._keys = keys
        self._denial = denial
        # The callers limit the number of requests. No proxy of the environment is used.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False, request_class=_Request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def prepare_for_pause(self, name: str, address: Address, key_id: str) -> None:
        """Ask the agent server to save and close its conversations before its pod is deleted. Takes at most 10 s.

        A failure is only logged. Source: openhands_agent_server 1.58.2, `credential_binding.py`.
        """
        self._send_only_to(address)
        timeout = aiohttp.ClientTimeout(total=_PREPARE_SECONDS)
        headers = {"X-Session-API-Key": self._keys.session_key(key_id)}
        try:
            async with self._session.post(
                f"{base_url(address)}{_PREPARE}", headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status >= 300 and response.status not in _ABSENT:
                    _log.warning("not prepared for its pause", sandbox=name, status=response.status)
        except (aiohttp.ClientError, OSError) as error:
            cause = str(error) or type(error).__name__
            _log.warning("not prepared for its pause", sandbox=name, error=cause)

    async def init(self, address: Address, key_id: str, body: Mapping[str, Any]) -> None:
        """Initialize the dormant agent server at this address within 10 s. An initialized one stays unchanged.

        It keeps the keys of `key_id`, with which it booted. Raises InitError, UnprovenError, and KeyError if their
        master key is gone.
        Source: openhands_agent_server 1.58.2, `init_router.py`.
        """
        secret = self._keys.secret_key(key_id)
        sent = {**body, "session_api_keys": [self._keys.session_key(key_id)], "secret_key": secret}
        url, headers = f"{base_url(address)}{_INIT}", {"X-Init-API-Key": secret}
        failure = ""
        self._send_only_to(address)
        try:
            async with asyncio.timeout(_INIT_SECONDS):
                for pause in (*_INIT_PAUSES, None):
                    failure = await self._try_init(url, headers, sent)
                    if not failure:
                        return
                    if pause is not None:
                        await asyncio.sleep(pause)
        except TimeoutError:
            failure = failure or f"{_INIT} gave no answer within {_INIT_SECONDS:.0f} s"
        raise InitError(failure)

    async def _try_init(self, url: str, headers: dict[str, str], body: dict[str, Any]) -> str:
        """A failure that may pass; "" if the agent server is ready. Raises InitError for other failures."""
        try:
            async with self._session.post(url, headers=headers, json=body, allow_redirects=False) as response:
                status = response.status
            if status == 400:
                # An earlier request has initialized it, or is about to.
                status, answer = await self._get(url, {})
                state = _InitState.model_validate_json(answer).state if status == 200 else ""
                return "" if state == "ready" else f"{_INIT} says that the agent server is {state or 'not there'}"
        except WrongPodError as error:
            raise InitError(f"{_INIT} was not sent: {error}") from error
        except UnprovenError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{_INIT} gave no answer: {type(error).__name__}"
        if status == 200:
            return ""
        if status >= 500:
            return f"{_INIT} answers {status}"
        raise InitError(f"{_INIT} answers {status}")

    async def work(self, sandbox: Sandbox) -> Work:
        """Ask a ready agent server what it does. If it cannot count conversations (404), none counts as running.

        Raises aiohttp.ClientError, OSError, ValueError for an unusable answer, and KeyError if the master key of its
        session key is gone. Source: openhands_agent_server 1.58.2, `server_details_router.py`,
        `conversation_router.py`.
        """
        status = sandbox.status
        address = Address(status.pod_ip, present_port(sandbox), status.pod_name, status.pod_uid)
        self._send_only_to(address)
        url = base_url(address)
        headers = {"X-Session-API-Key": self._keys.session_key(status.key_id)}
        (info_status, info), (count_status, count) = await asyncio.gather(
            self._get(f"{url}{_INFO}", headers), self._get(f"{url}{_RUNNING}", headers)
        )
        if info_status != 200:
            raise ValueError(f"{_INFO} answers {info_status}")
        if count_status not in {200, 404}:
            raise ValueError(f"{_RUNNING} answers {count_status}")
        known = _Info.model_validate_json(info)
        return Work(known.uptime, known.idle_time, _COUNT.validate_json(count) if count_status == 200 else 0)

    def _send_only_to(self, address: Address) -> None:
        """The requests of this task, and of tasks that it begins from now on, are for this pod."""
        _prove.set(partial(self._check, address))

    async def _check(self, address: Address) -> None:
        try:
            denial = await self._denial(address.pod, address.uid, address.ip)
        except FAILURES as error:
            cause = str(error) or type(error).__name__
            raise UnprovenError(f"the API server does not say whose address {address.ip} is: {cause}") from error
        if denial:
            raise WrongPodError(f"pod {address.pod} {denial}")

    async def _get(self, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _ANSWER_BYTES:
                    raise ValueError("the answer is too long")
            return response.status, bytes(body)


def address_of(sandbox: Sandbox, pod: Pod) -> Address:
    """Where the agent server of this pod listens."""
    return Address(pod.ip, pod.port(AGENT) or agent_port(sandbox.spec.command), pod.name, pod.uid)


def base_url(address: Address) -> str:
    """URL of the agent server at this address."""
    ip = address.ip
    return f"http://{f'[{ip}]' if ':' in ip else ip}:{address.port}"
