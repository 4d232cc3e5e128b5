"""Which addresses the gateway connects to: clients and registries must not make it reach into the cluster."""

import asyncio
import ipaddress
import socket

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones, private ones included (RFC 6052)."""


class PrivateAddressError(Exception):
    """A host that is not on the internet, or not only."""


def is_public(address: str) -> bool:
    """Whether an IP address is on the internet: not private, loopback, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


async def public_address(host: str, port: int) -> str:
    """An IP address of the host. Connect to this address, since another look-up could return a different one.

    Raises PrivateAddressError when one of its addresses is not public, and OSError when it has none.
    """
    addresses = [host] if _is_address(host) else await _look_up(host, port)
    if not addresses or not all(is_public(address) for address in addresses):
        raise PrivateAddressError(host)
    return addresses[0]


async def _look_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(entry[4][0]) for entry in found]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
