"""The URL of a sandbox in both modes."""

import pytest

from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.contract.errors import InvalidRequestError

SEEN = Origin("http", "gw.test:8080")


@pytest.mark.parametrize(
    ("addresses", "seen", "url"),
    [
        (Addresses(), SEEN, "http://gw.test:8080"),
        (Addresses(), Origin("https", "gw.test"), "https://gw.test"),
        (Addresses(), Origin("http", "[::1]:8080"), "http://[::1]:8080"),
        (Addresses(public=Origin("https", "public.test")), SEEN, "https://public.test"),
        (Addresses("box.test"), SEEN, "http://sb-a.box.test:8080"),
        (Addresses("box.test"), Origin("http", "[::1]"), "http://sb-a.box.test"),
        (Addresses("box.test"), Origin("http", "[::1]:81"), "http://sb-a.box.test:81"),
        (Addresses("box.test"), Origin("http", ""), "http://sb-a.box.test"),
        (Addresses("box.test", Origin("https", "public.test")), SEEN, "https://sb-a.box.test"),
        (Addresses("box.test", Origin("https", "public.test:8443")), SEEN, "https://sb-a.box.test:8443"),
    ],
)
def test_url(addresses: Addresses, seen: Origin, url: str) -> None:
    assert addresses.of("sb-a", seen) == url


def test_header_mode_needs_a_host() -> None:
    with pytest.raises(InvalidRequestError, match="Host"):
        Addresses().of("sb-a", Origin("http", ""))


def test_services_have_urls_in_host_mode_alone() -> None:
    ports = {"work-1": 12000, "work-2": 3000}
    assert Addresses("box.test").of_services("sb-a", ports, SEEN) == {
        "http://work-1-sb-a.box.test:8080": 12000,
        "http://work-2-sb-a.box.test:8080": 3000,
    }
    public = Origin("https", "public.test")
    assert Addresses("box.test", public).of_services("sb-a", {"work-1": 1}, SEEN) == {"https://work-1-sb-a.box.test": 1}
    assert Addresses(public=public).of_services("sb-a", ports, SEEN) == {}
    assert Addresses().of_services("sb-a", ports, Origin("http", "")) == {}
