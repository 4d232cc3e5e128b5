"""Finds the gateway's replicas by DNS and asks them over HTTP."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import structlog

from sandbox_common import image_size
from sandbox_common.activity import PATH, Report, decode
from sandbox_common.keys import MasterKeys
from sandbox_operator.idle.last_uses import ANSWER_SECONDS
from sandbox_operator.process import metrics

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """A host name, each of whose addresses is a replica, and the port of their probes."""

    host: str
    port: int


def parse_peers(text: str) -> tuple[Peer, ...]:
    """Parse one `host:port`, or several separated by commas. Raises ValueError."""
    return tuple(_peer(part.strip()) for part in text.split(",")) if text.strip() else ()


def _peer(text: str) -> Peer:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port is None or parts.netloc != text or parts.username is not None:
        raise ValueError(f"{text!r} is not host:port")
    return Peer(parts.hostname, parts.port)


class GatewayReplicas:
    """Implements `check.Gateways`."""

    def __init__(self, session: aiohttp.ClientSession, keys: MasterKeys, peers: Sequence[Peer]) -> None:
        self._session = session
        self._keys = keys
        self._peers = peers
        self._trouble = ""

    async def reports(self, within: Callable[[str], float | None]) -> Mapping[str, Report | None]:
        """As `Replicas.reports`."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                addresses = await self._addresses()
        except OSError as error:
            self._log_trouble(f"no gateway is found by name: {error or type(error).__name__}")
            return {}
        answers = await asyncio.gather(*(self._ask(address, within(address)) for address in addresses))
        self._log_trouble("; ".join(answer for answer in answers if isinstance(answer, str)))
        return {
            address: answer if isinstance(answer, Report) else None
            for address, answer in zip(addresses, answers, strict=True)
        }

    async def image_size(self, image: str, owner: str, class_name: str) -> int:
        """As `Gateways.image_size`: the answer of the first replica that gives one."""
        query = {"image": image, "owner": owner, "class": class_name}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                addresses = await self._addresses()
        except OSError:
            return 0
        for address in addresses:
            answer = await self._get(address, image_size.PATH, query)
            if isinstance(answer, bytes):
                with suppress(ValueError):
                    return image_size.decode(answer)
        return 0

    async def _addresses(self) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(
            *(loop.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM) for peer in self._peers)
        )
        addresses = {entry[4][:2] for entries in found for entry in entries}
        return sorted(f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}" for host, port in addresses)

    async def _ask(self, address: str, within: float | None) -> Report | str:
        """The replica's report, or why there is none."""
        answer = await self._get(address, PATH, {} if within is None else {"within": f"{within:.3f}"})
        if isinstance(answer, str):
            return answer
        try:
            return decode(answer)
        except ValueError as error:
            return f"{address}: {error}"

    async def _get(self, address: str, path: str, query: Mapping[str, str]) -> bytes | str:
        """What a replica answers, or why it does not."""
        headers = {"Authorization": f"Bearer {self._keys.internal_token()}"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with self._session.get(
                f"http://{address}{path}", params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    return f"{address} answers {response.status}"
                return await response.read()
        except (aiohttp.ClientError, OSError) as error:
            return f"{address}: {error or type(error).__name__}"

    def _log_trouble(self, trouble: str) -> None:
        metrics.IDLE_BLOCKED.set(bool(trouble))
        # Logged when it begins and when it ends, not in each check.
        if trouble and not self._trouble:
            _log.warning("gateways do not answer: nothing is suspended for idleness meanwhile", error=trouble)
        elif self._trouble and not trouble:
            _log.info("all gateways answer again")
        self._trouble = trouble
