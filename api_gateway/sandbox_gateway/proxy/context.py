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
"""Of an owner, begun or read on in one round of the event loop."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds. Numbers are those of one gateway process."""

    tls_handshake_seconds: float = 10.0
    """For a client's TLS handshake."""
    tls_close_seconds: float = 60.0
    """For a client to read the last answer and to end its TLS session, too."""
    head_seconds: float = 30.0
    """For a request head, from its first byte (the first one of a connection: from the connection) to its end."""
    idle_seconds: float = 75.0
    """Between two requests of a client's connection."""
    linger_seconds: float = 5.0
    """For a client to read the last answer and close, while it makes no progress."""
    first_message_seconds: float = 10.0
    """For the first message of a WebSocket, as the agent server grants."""
    first_message_bytes: int = 64 * 1024
    handshake_seconds: float = 30.0
    """For a sandbox to accept a WebSocket that the gateway has accepted before it."""
    half_closed_seconds: float = 30.0
    """For the other side of a tunnel to close, too."""
    close_seconds: float = 5.0
    """For a client and an agent server to close a WebSocket after the gateway has asked for it."""
    drain_idle_seconds: float = 2.0
    """For the next request of a client's connection while the gateway ends: its answer says that it is the last. A
    connection that is closed sooner may be closed under a request that is on its way."""
    connections: int = 16_384
    """Of clients, open at a time."""
    requests_per_sandbox: int = 512
    """Under way at a time, to the agent server and to services."""
    websockets_per_sandbox: int = 1024
    """Open at a time, from the handshake on."""
    wake_hold_seconds: float = 50.0
    """For an idle sandbox to wake: the SDK waits 60 s for an answer (openhands_workspace 1.58.2, `api_timeout`)."""


class Client(Protocol):
    """A client's connection, whatever it is being used for."""

    def drain(self) -> None:
        """Finish what is in flight and close; at once if that is nothing."""
        ...

    def cut(self) -> None:
        """Close now."""
        ...


class Activity(Protocol):
    """Takes note of the requests to each sandbox that count."""

    def begin(self, runtime_id: str) -> None:
        """One more is in flight."""
        ...

    def end(self, runtime_id: str) -> None:
        """One that `begin` has told is over, however it ended."""
        ...

    def touch(self, runtime_id: str) -> None:
        """There was one just now."""
        ...


class Waker(Protocol):
    """Wakes idle sandboxes."""

    async def wake(self, runtime_id: str) -> None:
        """Return when the sandbox is awake, or when waiting for that has become useless.

        Many may wait for one sandbox; who is cancelled disturbs neither the others nor the waking.
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
    """Whether clients speak TLS, if no trusted proxy says it: with the listener itself, or with something in front."""
    tls: Callable[[], ssl.SSLContext] | None = None
    """What the listener speaks TLS by, for a connection that begins now."""
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    places: Places = field(default_factory=Places)
    flights: Flights = field(default_factory=Flights)
    draining: bool = False
    grace_seconds: float = 0.0
    """From the beginning of draining until what is left is cut."""
    held_until: float = inf
    """Loop time at which no request is held any longer: there has to be time for its answer before the cut."""
    owners: Fair = field(init=False)
    """Of requests under way and WebSockets, each of which takes a connection."""
    requests: Shares = field(init=False)
    websockets: Shares = field(init=False)
    turns: Turns = field(init=False)
    """Of requests to begin, and to read on in their bodies."""
    clients: set[Client] = field(default_factory=set[Client])
    all_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last client leaves a draining listener."""

    def __post_init__(self) -> None:
        self.turns = Turns(REQUESTS, asyncio.get_running_loop().call_soon)
        self.owners = Fair(self.bounds.connections)
        self.requests = Shares(self.bounds.requests_per_sandbox, self.owners)
        self.websockets = Shares(self.bounds.websockets_per_sandbox, self.owners)

    def shares(self, request: RequestHead) -> Shares:
        """Of what such a request takes one."""
        return self.websockets if request.websocket else self.requests

    def join(self, client: Client) -> None:
        self.clients.add(client)

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        if self.draining and not self.clients:
            self.all_gone.set()
