"""Addresses that the gateway may be sent to."""

import asyncio
import socket

import pytest

from sandbox_gateway.registry.addresses import PrivateAddressError, is_public, public_address


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.112.33", "2606:50c0:8000::154", "::ffff:8.8.8.8"])
async def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)
    assert await public_address(address, 443) == address


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.96.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.1", "255.255.255.255"),
        *("169.254.169.254", "224.0.0.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::1"),
    ],
)
async def test_all_else_is_not(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(PrivateAddressError):
        await public_address(address, 443)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        (["8.8.8.8", "2606:50c0:8000::154"], True),
        (["8.8.8.8", "10.0.0.1"], False),
        (["fe80::1%eth0"], False),
        ([], False),
    ],
)
async def test_a_name_is_public_if_all_its_addresses_are(
    monkeypatch: pytest.MonkeyPatch, found: list[str], good: bool
) -> None:
    async def look_up(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    if good:
        assert await public_address("name.test", 443) == found[0]
    else:
        with pytest.raises(PrivateAddressError):
            await public_address("name.test", 443)
