"""What counts as the console's own page, and which cookie counts."""

import pytest
from starlette.datastructures import Headers

from sandbox_gateway.console.browsers import PLAIN_COOKIE, SECURE_COOKIE, by_tls, cookies, from_own_page, set_cookie
from sandbox_gateway.contract.addresses import Origin

PUBLIC = Origin("https", "sandboxes.example.com")


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"sec-fetch-site": "same-site", "origin": "http://gateway:8080"}, False),  # a sandbox's host
        ({"sec-fetch-site": "cross-site", "origin": "http://gateway:8080"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "http://gateway:8080"}, True),
        ({"origin": "https://GATEWAY:8080"}, True),
        ({"origin": "https://sandboxes.example.com"}, True),
        ({"origin": "https://work-1-sb-a.sandboxes.example.com"}, False),
        ({"origin": "http://gateway"}, False),
        ({"origin": "http://evil.example/gateway:8080"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({}, False),
    ],
)
def test_only_the_consoles_own_pages_change_something(headers: dict[str, str], own: bool) -> None:
    assert from_own_page(Headers({"host": "gateway:8080", **headers}), PUBLIC) is own


def test_the_address_that_a_trusted_proxy_names_counts() -> None:
    headers = {"host": "10.0.0.1", "x-forwarded-host": "console.example.com", "origin": "https://console.example.com"}
    assert from_own_page(Headers(headers), None)
    assert not from_own_page(Headers({**headers, "origin": "https://10.0.0.1"}), None)


def test_no_host_is_nobodys() -> None:
    assert not from_own_page(Headers({"origin": "http://"}), None)


@pytest.mark.parametrize(
    ("headers", "tls"),
    [
        ({"x-forwarded-proto": "https"}, True),
        ({"x-forwarded-proto": "http"}, False),
        ({}, False),
        ({"x-forwarded-proto": "http", "origin": "https://console.example.com"}, True),
    ],
)
def test_tls_makes_the_cookie_secure(headers: dict[str, str], tls: bool) -> None:
    assert by_tls(Headers(headers)) is tls
    made = set_cookie("v", secure=by_tls(Headers(headers)))
    assert made.startswith(f"{SECURE_COOKIE}=v; Path=/;" if tls else f"{PLAIN_COOKIE}=v; Path=/;")
    assert ("; Secure" in made) is tls
    assert "; HttpOnly; SameSite=Strict" in made
    assert "Domain" not in made


def test_over_tls_only_the_cookie_that_no_other_host_can_set_counts() -> None:
    line = f"a=b; {PLAIN_COOKIE}=planted; {SECURE_COOKIE}=own; {PLAIN_COOKIE}=more;x"
    assert cookies(Headers({"cookie": line, "x-forwarded-proto": "https"})) == ["own"]
    assert cookies(Headers({"cookie": line})) == ["own", "planted", "more"]
    assert cookies(Headers({})) == []
