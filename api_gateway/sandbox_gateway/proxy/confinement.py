"""Confines a sandbox's responses to its own host, and pages to themselves.

Servers in a sandbox are not trusted, and other sandboxes are neighbours in the same domain. So no cookie may be for the
whole domain. A program that redirects to the address where it listens means its host.
"""

import re

from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.head import Fields, ResponseHead

_URL = re.compile(rb"(?i:https?)://([^/?#]*)([^\r\n]*)")
_STRANGER = b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"
_HERE = (b"localhost", b"127.0.0.1", b"0.0.0.0", b"[::1]", b"[::]")


def confined(response: ResponseHead, address: PodAddress) -> ResponseHead:
    """A response of the server at `address`, with cookies for its host alone, and redirects to `address` made local."""
    joined = response.fields.joined
    if b"set-cookie" not in joined and b"location" not in joined:
        return response
    fields = Fields()
    for lower, name, value in response.fields.lines:
        if lower == b"set-cookie":
            fields.add(name, _host_only(value))
        elif lower == b"location":
            fields.add(name, _outer(value, address))
        else:
            fields.add(name, value)
    return ResponseHead(response.status, response.reason, response.http_1_0, fields, response.keep_alive)


def as_stranger(response: ResponseHead) -> ResponseHead:
    """The response, shown by a browser without the rights of its host, which other sandboxes share.

    As a document it has an opaque origin: it reads nothing of the host, and cannot register a service worker there.
    """
    fields = Fields()
    for _, name, value in response.fields.lines:
        fields.add(name, value)
    fields.add(b"Content-Security-Policy", _STRANGER)
    return ResponseHead(response.status, response.reason, response.http_1_0, fields, response.keep_alive)


def _host_only(cookie: bytes) -> bytes:
    """The cookie without the attribute Domain. Browsers ignore the case of attributes (RFC 6265, section 5.2)."""
    pair, *attributes = cookie.split(b";")
    kept = [part for part in attributes if part.partition(b"=")[0].strip(b" \t").lower() != b"domain"]
    return b";".join((pair, *kept))


def _outer(location: bytes, address: PodAddress) -> bytes:
    """A path, if this is a URL of `address`. The client resolves it against the URL of its request."""
    match = _URL.fullmatch(location)
    if match is None:
        return location
    ip, port = address.ip, address.port
    inner = {b"%b:%d" % (host, port) for host in (*_HERE, b"[%b]" % ip.encode() if ":" in ip else ip.encode())}
    path = match[2] if match[2].startswith(b"/") else b"/" + match[2]
    # Clients would read a path that begins with two slashes as another host.
    return path if match[1].lower() in inner and not path.startswith(b"//") else location
