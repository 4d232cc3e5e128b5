"""What all connections of one listener share."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from sandbox_gateway.proxy.directory import Directory
from sandbox_gateway.proxy.fair import Fair
from sandbox_gateway.proxy.flights import Flights
from sandbox_gateway.proxy.forwarded import TrustedProxies
from sandbox_gateway.proxy.head import RequestHead
from sandbox_gateway.proxy.meter import AccessLog
from sandbox_gateway.proxy.places import Places
from sandbox_gateway.proxy.shares import Shares
from sandbox_gateway.proxy.turns import Turns
from sandbox_gateway.proxy.upstream import Pool

REQUESTS = 4
"""The most requests of one owner that begin or continue in one round of the event loop."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a connection may take, and how many there may be. Times are in seconds, numbers for one process."""

    tls_handshake_seconds: float = 10.0
    """A client's TLS handshake."""
    tls_close_seconds: float = 60.0
    """Until a client has read the last answer and ended its TLS session."""
    head_seconds: float = 30.0
    """A request head, from its first byte to its end. For a connection's first request, the time begins with the
    connection."""
    idle_seconds: float = 75.0
    """Between two requests of a client's connection."""
    linger_seconds: float = 5.0
    """How long a client may make no progress in reading the last answer."""
    first_message_seconds: float = 10.0
    """Until the first message of a WebSocket; the agent server waits as long."""
    first_message_bytes: int = 64 * 1024
    handshake_seconds: float = 30.0
    """Until a sandbox accepts a WebSocket that the gateway has accepted already."""
    half_closed_seconds: float = 30.0
    """Until the other side of a tunnel closes too."""
    close_seconds: float = 5.0
    """Until a client and an agent server close a WebSocket, after the gateway asked for it."""
    drain_idle_seconds: float = 2.0
    """Until the next request of a client's connection, while the gateway ends. The answer to it says that it is the
    last. If the gateway closed sooner, a request could be on its way."""
    connections: int = 16_384
    """The most open connections of clients."""
    requests_per_sandbox: int = 512
    """The most requests in progress, to the agent server and to services."""
    websockets_per_sandbox: int = 1024
    """The most open WebSockets, from the handshake on."""
    wake_hold_seconds: float = 50.0
    """Until an idle sandbox is awake. The SDK waits 60 s for an answer (openhands_workspace 1.58.2, `api_timeout`)."""


class Client(Protocol):
    """A client's connection, in any state."""

    def drain(self) -> None:
        """Finish the request in progress, if there is one, and close."""
        ...

    def cut(self) -> None:
        """Close now."""
        ...


class Activity(Protocol):
    """Notes the requests to each sandbox that count as activity."""

    def begin(self, runtime_id: str) -> None:
        """A request begins."""
        ...

    def end(self, runtime_id: str) -> None:
        """A request that `begin` reported is over, however it ended."""
        ...

    def touch(self, runtime_id: str) -> None:
        """There was a request just now."""
        ...


class Waker(Protocol):
    """Wakes idle sandboxes."""

    async def wake(self, runtime_id: str) -> None:
        """Return when the sandbox is awake, or when it is useless to wait longer.

        Many may wait for one sandbox. Cancelling one of them affects neither the others nor the waking.
        """
        ...


@dataclass(slots=True)
class Context:
    directory: Directory
    activity: Activity
    waker: Waker
    access_log: AccessLog
    pool: Pool
    control_socket: str
    base_domain: str
    bounds: Bounds
    https: bool = False
    """Whether clients use TLS, to the listener or to something in front of it, if no trusted proxy says it."""
    tls: Callable[[], ssl.SSLContext] | None = None
    """The listener's TLS context for a connection that begins now."""
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    places: Places = field(default_factory=Places)
    flights: Flights = field(default_factory=Flights)
    draining: bool = False
    grace_seconds: float = 0.0
    """From the beginning of draining until the remaining connections are cut."""
    held_until: float = inf
    """Loop time at which requests are no longer held, so that there is time to answer them before the cut."""
    owners: Fair = field(init=False)
    """Shares of the connections that requests in progress and WebSockets use."""
    requests: Shares = field(init=False)
    websockets: Shares = field(init=False)
    turns: Turns = field(init=False)
    """Turns to begin a request, and to continue to read its body."""
    clients: set[Client] = field(default_factory=set[Client])
    all_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last client leaves a draining listener."""

    def __post_init__(self) -> None:
        self.turns = Turns(REQUESTS, asyncio.get_running_loop().call_soon)
        self.owners = Fair(self.bounds.connections)
        self.requests = Shares(self.bounds.requests_per_sandbox, self.owners)
        self.websockets = Shares(self.bounds.websockets_per_sandbox, self.owners)

    def shares(self, request: RequestHead) -> Shares:
        """The shares of which such a request takes one."""
        return self.websockets if request.websocket else self.requests

    def join(self, client: Client) -> None:
        self.clients.add(client)

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        if self.draining and not self.clients:
            self.all_gone.set()
