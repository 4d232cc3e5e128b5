"""Where a request comes from, according to the trusted proxies.

A proxy appends the address of its client to X-Forwarded-For. So the right-most address that is not a trusted proxy's is
the client's; the client may have made up everything before it. X-Forwarded-Proto and X-Forwarded-Host say how the
client reached the outermost trusted proxy. If they have several values, count as many from the right as there are
trusted proxies. Unreadable values are ignored. Forwarded (RFC 7239), X-Real-IP and the PROXY protocol are not read.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sandbox_gateway.proxy.head import HOST

type Network = IPv4Network | IPv6Network

_MOST_HOPS = 32
"""The most addresses that are read."""
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 1024
"""Bytes of a request's values. Clients choose them, up to the maximum of a head."""
_MAPPED = 96
"""Bits before the IPv4 address in an IPv4-mapped IPv6 address (::ffff:0:0/96)."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Where a request comes from. `https` and `host` are None if no proxy says it."""

    client_ip: str
    https: bool | None
    host: bytes | None


def network(text: str) -> Network:
    """The range of trusted addresses in `text`. Raises ValueError."""
    try:
        found = ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{text!r} is no range of addresses, such as 10.0.0.0/24 or fd00::/64: {error}") from None
    if isinstance(found, IPv6Network) and found.prefixlen >= _MAPPED and found.network_address.ipv4_mapped:
        found = IPv4Network((found.network_address.ipv4_mapped, found.prefixlen - _MAPPED))
    if not found.prefixlen:
        raise ValueError(f"{text!r} has all addresses: then everybody could claim to be anybody")
    return found


class TrustedProxies:
    """The addresses whose X-Forwarded-For, -Proto and -Host are trusted."""

    def __init__(self, networks: Collection[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._remembered = lru_cache(_REMEMBERED)(self._outside)

    def __contains__(self, peer: str) -> bool:
        address = _read(peer.encode()) if self._networks else None
        return address is not None and self._trusts(address)

    def outside(self, peer: str, chain: bytes | None, proto: bytes | None, host: bytes | None) -> Outside:
        """The origin of a request from this trusted proxy, with these X-Forwarded-For, -Proto and -Host."""
        is_long = len(chain or b"") + len(proto or b"") + len(host or b"") > _LONGEST_REMEMBERED
        return (self._outside if is_long else self._remembered)(peer, chain, proto, host)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)

    def _outside(self, peer: str, chain: bytes | None, proto: bytes | None, host: bytes | None) -> Outside:
        client_ip, proxies = peer, 1
        for hop in reversed(chain.rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:] if chain else ()):
            address = _read(hop.strip())
            if address is None:
                break
            client_ip = str(address)
            if not self._trusts(address):
                break
            proxies += 1
        scheme = _said(proto, proxies).lower()
        authority = _said(host, proxies)
        return Outside(
            client_ip,
            https=scheme in (b"https", b"wss") if scheme in (b"http", b"https", b"ws", b"wss") else None,
            host=authority if HOST.fullmatch(authority) else None,
        )


def _said(values: bytes | None, proxies: int) -> bytes:
    """The value of the outermost of this many proxies, each of which may have added one or kept the existing ones."""
    said = values.split(b",") if values else [b""]
    return said[-min(proxies, len(said))].strip()


def _read(text: bytes) -> IPv4Address | IPv6Address | None:
    """The address in a text that may have a port; mapped IPv4 as IPv4."""
    host = text.decode("latin-1")
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
