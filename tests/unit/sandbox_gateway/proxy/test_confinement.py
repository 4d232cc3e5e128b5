"""Cookies and redirects of sandboxes, which are to keep to their own host."""

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.confinement import confined
from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.head import ResponseHead, ResponseReader
from unit.sandbox_gateway.proxy.support import at

ADDRESS = at("10.244.0.7", 12000)


def response(*fields: bytes) -> ResponseHead:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 302 Found\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n") == b""
    return reader.head()


def seen(field: bytes, address: PodAddress = ADDRESS) -> bytes:
    [(_, name, value)] = confined(response(field), address).fields.lines
    return name + b": " + value


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a=b", b"a=b"),
        (b"a=b; Domain=box.example; Path=/", b"a=b; Path=/"),
        (b"a=b; Path=/; domain=.box.example", b"a=b; Path=/"),
        (b"a=b;DOMAIN\t = x ; Secure;  dOmAiN=y", b"a=b; Secure"),
        (b"a=b; Domain", b"a=b"),
        (b"a=b; HttpOnly; SameSite=Lax; Max-Age=3", b"a=b; HttpOnly; SameSite=Lax; Max-Age=3"),
        (b"domain=box.example; Path=/", b"domain=box.example; Path=/"),  # the cookie's own name
        (b"a=b; Path=/domain=x", b"a=b; Path=/domain=x"),
        (b"a=b; X-Domain=c", b"a=b; X-Domain=c"),
    ],
)
def test_no_cookie_is_for_more_than_its_host(sent: bytes, kept: bytes) -> None:
    assert seen(b"Set-Cookie: " + sent) == b"Set-Cookie: " + kept
    assert seen(b"set-COOKIE: " + sent) == b"set-COOKIE: " + kept


def test_each_of_several_cookies_is_confined_and_the_rest_passes_in_order() -> None:
    head = confined(
        response(b"Set-Cookie: a=1; Domain=x", b"X-A: Domain=x", b"Set-Cookie: b=2; Domain=x", b"Location: /"), ADDRESS
    )
    assert [value for _, _, value in head.fields.lines] == [b"a=1", b"Domain=x", b"b=2", b"/"]
    assert (head.status, head.reason, head.keep_alive) == (302, b"Found", True)
    assert head.fields.joined[b"set-cookie"] == b"a=1, b=2"


ATTRIBUTES = st.lists(
    st.sampled_from(["Path=/", "Secure", "HttpOnly", "Max-Age=5", "SameSite=Lax", "Domain=x.example", "dOMAIN=.y", ""]),
    max_size=6,
)


@given(ATTRIBUTES)
def test_what_a_client_reads_differs_in_the_domain_alone(attributes: list[str]) -> None:
    sent = "; ".join(["name=value", *attributes])
    before, after = SimpleCookie(sent), SimpleCookie(seen(f"Set-Cookie: {sent}".encode()).decode().partition(": ")[2])
    assert after["name"]["domain"] == ""
    before["name"]["domain"] = ""
    assert before == after


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"http://localhost:12000/a?b=http://localhost:12000/#c", b"/a?b=http://localhost:12000/#c"),
        (b"HTTP://LocalHost:12000", b"/"),
        (b"https://127.0.0.1:12000/a", b"/a"),
        (b"http://0.0.0.0:12000?a", b"/?a"),
        (b"http://[::1]:12000/", b"/"),
        (b"http://10.244.0.7:12000/a", b"/a"),
        # Somewhere else, or a host name that the client knows.
        (b"/a", b"/a"),
        (b"a", b"a"),
        (b"//localhost:12000/a", b"//localhost:12000/a"),
        (b"http://localhost/a", b"http://localhost/a"),
        (b"http://localhost:120000/a", b"http://localhost:120000/a"),
        (b"http://localhost:12001/a", b"http://localhost:12001/a"),
        (b"http://10.244.0.8:12000/a", b"http://10.244.0.8:12000/a"),
        (b"http://localhost:12000@other.example/", b"http://localhost:12000@other.example/"),
        (b"http://localhost:12000.other.example/", b"http://localhost:12000.other.example/"),
        (b"http://localhost:12000//other.example/", b"http://localhost:12000//other.example/"),
        (b"https://work-1-abc.box.example/a", b"https://work-1-abc.box.example/a"),
        (b"ftp://localhost:12000/a", b"ftp://localhost:12000/a"),
        (b"", b""),
    ],
)
def test_a_redirect_to_the_inner_address_is_one_to_the_host(sent: bytes, told: bytes) -> None:
    assert seen(b"Location: " + sent) == b"Location: " + told


def test_a_redirect_to_an_inner_address_of_ipv6() -> None:
    assert seen(b"Location: http://[fd00::7]:12000/a", at("fd00::7", 12000)) == b"Location: /a"


def test_other_responses_pass_as_they_are() -> None:
    head = response(b"X-Cookie: Domain=x", b"Content-Location: http://localhost:12000/")
    assert confined(head, ADDRESS) is head
