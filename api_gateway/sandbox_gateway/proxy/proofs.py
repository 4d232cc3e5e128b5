"""Proofs that connections lead to the pods that they should lead to.

A pod's address can be another's a moment later, but a connection stays with one pod. So the gateway connects, then
proves, and only then sends. It asks whether the pod has the address now. If there is no answer, another connection can
prove the same: it was proven before, and has heard from the pod's kernel since the new connection was made. So the
pod had its address all the time.
"""

import asyncio
import socket
import struct
import time
import weakref
from collections.abc import Awaitable, Callable

from sandbox_gateway.process.metrics import UNPROVEN_CONNECTIONS
from sandbox_gateway.proxy.directory import PodAddress

type Ask = Callable[[PodAddress], Awaitable[str]]
"""What has become of the pod: "" if it has the address at a moment after the call. Raises UnprovenError if nobody
knows."""

UNPROVEN = (
    "cannot be reached for now: the Kubernetes API server, which says whose address it is, is overloaded or "
    "unreachable. Try again."
)
"""Detail for the client, without its subject, the sandbox."""

_PROMPT_SECONDS = 0.3
"""An answer rarely takes longer. Then other connections are looked at, too."""
_WITNESS_SECONDS = 2.0
"""From the connection on, until another one has heard from the pod. A kernel that is silent for a second is asked."""
_LOOK_SECONDS = 0.02
_PROBE_SECONDS = 0.25
_TICK_SECONDS = 0.02
"""More than the kernel's clock and rounding can be wrong."""
_WITNESSES = 8
"""The most for a pod."""

_ESTABLISHED = 1
_INFO_BYTES = 60
_HEARD = struct.Struct("II")
_HEARD_AT = 52
"""Where struct tcp_info (linux/tcp.h) has tcpi_last_data_recv and tcpi_last_ack_recv, in milliseconds. Its first byte
is tcpi_state."""


class WrongPodError(OSError):
    """The connection does not lead to the pod. The message says what has become of the pod."""


class UnprovenError(OSError):
    """Nobody knows to which pod the connection leads. The message says why."""


def said(error: BaseException) -> str:
    """An error of a connection, for the log."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, WrongPodError | UnprovenError) else name


class Proofs:
    """Proves new connections of one process. It belongs to the running event loop."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._witnesses: dict[tuple[str, str], set[weakref.ref[asyncio.Transport]]] = {}
        """Proven connections by UID and IP."""

    async def prove(self, address: PodAddress, transport: asyncio.Transport) -> None:
        """Return if this new connection leads to the pod. Raises WrongPodError and UnprovenError."""
        made = time.monotonic()
        asking = asyncio.ensure_future(self._ask(address))
        try:
            await asyncio.wait({asking}, timeout=_PROMPT_SECONDS)
            if _is_answered(asking) or not await self._is_witnessed(address, transport, made, asking):
                denial = await asking
                if denial:
                    raise WrongPodError(f"its pod {denial}")
        except (WrongPodError, UnprovenError) as error:
            UNPROVEN_CONNECTIONS.labels("pod" if isinstance(error, WrongPodError) else "api_server").inc()
            raise
        finally:
            asking.cancel()
        self._remember(address, transport)

    def _remember(self, address: PodAddress, transport: asyncio.Transport) -> None:
        key = (address.uid, address.ip)
        kept = self._witnesses.get(key, set())

        def forget(gone: weakref.ref[asyncio.Transport]) -> None:
            kept.discard(gone)
            if not kept:
                self._witnesses.pop(key, None)

        for other in list(kept):
            found = other()
            if found is None or found.is_closing():
                kept.discard(other)
        if len(kept) < _WITNESSES:
            kept.add(weakref.ref(transport, forget))
        self._witnesses[key] = kept

    async def _is_witnessed(
        self, address: PodAddress, new: asyncio.Transport, made: float, asking: asyncio.Future[str]
    ) -> bool:
        """Whether a proven connection to this pod has heard from it after this time. Ends sooner with an answer."""
        usual: int = new.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        kept = self._witnesses.get((address.uid, address.ip), set())
        found = [transport for other in list(kept) if (transport := other()) is not None]
        next_probe = 0.0
        while True:
            witnesses = [transport for transport in found if not transport.is_closing()]
            if any(_has_heard(transport, made) for transport in witnesses):
                _set_idle(witnesses, usual)
                return True
            now = time.monotonic()
            if not witnesses or now > made + _WITNESS_SECONDS or _is_answered(asking):
                _set_idle(witnesses, usual)
                return False
            if now >= next_probe:
                # Again and again: another one that was waiting may have set it back.
                _set_idle(witnesses, 1)
                next_probe = now + _PROBE_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)


def _is_answered(asking: asyncio.Future[str]) -> bool:
    """Whether somebody knows whose address it is."""
    return asking.done() and not isinstance(asking.exception(), UnprovenError)


def _has_heard(transport: asyncio.Transport, made: float) -> bool:
    """Whether the peer's kernel has sent something on this connection after this time."""
    info: bytes = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    now = time.monotonic()
    if len(info) < _INFO_BYTES or info[0] != _ESTABLISHED:
        return False
    # A kernel that does not know it says 0.
    return any(ago and now - ago / 1000 - _TICK_SECONDS > made for ago in _HEARD.unpack_from(info, _HEARD_AT))


def _set_idle(transports: list[asyncio.Transport], seconds: int) -> None:
    """The peer's kernel is asked for a sign of life after this time without one."""
    for transport in transports:
        if not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
