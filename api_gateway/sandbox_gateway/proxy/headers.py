"""What the gateway changes in the heads that it forwards.

It removes the hop-by-hop fields of RFC 9110, section 7.6.1, the clients' own X-Forwarded fields, and the platform's API
key on its way to a sandbox. Where sandboxes share a host, it also removes cookies, which may be another sandbox's.
Everything else passes as it was sent.
"""

from typing import Literal

from sandbox_gateway.proxy.credentials import WORKSPACE_COOKIE, key_in_workspace_cookie
from sandbox_gateway.proxy.head import Fields, RequestHead, ResponseHead

type Cookies = Literal["all", "none", "workspace"]
"""Which cookies of a request go to the upstream. `workspace`: only the one that named the sandbox."""

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"}
    | {b"upgrade", b"http2-settings"}
)
# Connection may name further hop-by-hop fields, but not these: that would change framing, routing or identity.
_END_TO_END = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"x-api-key", b"x-session-api-key"}
)
_ORIGIN = frozenset({b"forwarded", b"x-real-ip"})
_ORIGIN_PREFIX = b"x-forwarded-"
_WEBSOCKET_OFFERS = frozenset({b"sec-websocket-extensions", b"sec-websocket-protocol"})
_NOT_IN_TRAILERS = (
    _HOP_BY_HOP
    | _END_TO_END
    | _ORIGIN
    | {b"trailer", b"cookie", b"set-cookie", b"expect", b"cache-control", b"content-encoding", b"content-type"}
    | {b"content-range", b"range", b"location", b"date", b"vary", b"www-authenticate"}
)

_SWITCH = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def upstream_head(
    request: RequestHead,
    client_ip: str,
    to_control: bool,
    websocket: bool,
    service: bool = False,
    offers: bool = True,
    https: bool = False,
    cookies: Cookies = "all",
) -> bytes:
    """The request head for the upstream.

    A `service` does not get the session key, which opens more than that service; VSCode gets it in its own way.
    `websocket` asks for a switch of protocols, without `offers` with no extension and no subprotocol. `https` says
    whether clients use TLS, to the gateway or to something in front of it.
    """
    variant = (to_control, websocket, service, offers, https, cookies)
    parts = request.rewritten.get(variant)
    if parts is None:
        of_fields = (*variant, request.http_1_0, request.host)
        fields = request.fields.rewritten.get(of_fields)
        if fields is None:
            fields = request.fields.rewritten[of_fields] = _around_client_ip(request, *variant)
        before = b"%b %b HTTP/1.1\r\n%b" % (request.method, request.target, fields[0])
        parts = request.rewritten[variant] = (before, fields[1])
    return parts[0] + client_ip.encode() + parts[1]


def client_head(response: ResponseHead, chunked: bool, close: bool) -> bytes:
    """The response head for the client. `chunked` says whether the body goes out chunked."""
    variant = (chunked, close)
    head = response.rewritten.get(variant)
    if head is None:
        head = response.rewritten[variant] = _client_head(response, *variant)
    return head


def _around_client_ip(
    request: RequestHead, to_control: bool, websocket: bool, service: bool, offers: bool, https: bool, cookies: Cookies
) -> tuple[bytes, bytes]:
    """The part between the request line and the client's address, and the part after the address."""
    dropped = _HOP_BY_HOP | _named_by_connection(request.fields)
    if not to_control:
        dropped |= {b"x-api-key"}
    if service:
        dropped |= {b"x-session-api-key"}
    if request.http_1_0:
        dropped |= {b"expect"}
    if not offers:
        dropped |= _WEBSOCKET_OFFERS
    if cookies != "all":
        dropped |= {b"cookie"}
    parts = [b"Host: ", request.host, b"\r\n"]
    if cookies == "workspace":
        key = key_in_workspace_cookie(request) or ""
        parts += (b"Cookie: ", WORKSPACE_COOKIE, b"=", key.encode("latin-1"), b"\r\n")
    for lower, name, value in request.fields.lines:
        if lower in dropped or lower == b"host" or _tells_origin(lower):
            continue
        if b"_" in lower and _looks_like(lower.replace(b"_", b"-"), dropped):
            continue
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"X-Forwarded-For: ")
    proto = b"https" if https else b"http"
    behind = (b"\r\nX-Forwarded-Proto: ", proto, b"\r\nX-Forwarded-Host: ", request.host, b"\r\n")
    return b"".join(parts), b"".join((*behind, _SWITCH if websocket else b"", b"\r\n"))


def _client_head(response: ResponseHead, chunked: bool, close: bool) -> bytes:
    dropped = _HOP_BY_HOP | _named_by_connection(response.fields)
    if not chunked:
        dropped |= {b"transfer-encoding"}
    if response.status < 200 or response.status == 204:
        dropped |= {b"content-length"}  # RFC 9110, section 8.6: this response has no content
    parts = [b"HTTP/1.1 %d %b\r\n" % (response.status, response.reason)]
    for lower, name, value in response.fields.lines:
        if lower not in dropped:
            parts += (name, b": ", value, b"\r\n")
    if response.status == 101:
        parts.append(_SWITCH)
    elif close:
        parts.append(b"Connection: close\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def allowed_in_trailers(name: bytes) -> bool:
    """Whether a trailer field of this lower-case name may pass (RFC 9110, section 6.5.1)."""
    name = name.replace(b"_", b"-")
    return name not in _NOT_IN_TRAILERS and not name.startswith(_ORIGIN_PREFIX)


def _tells_origin(name: bytes) -> bool:
    return name in _ORIGIN or name.startswith(_ORIGIN_PREFIX)


def _looks_like(hyphened: bytes, dropped: frozenset[bytes]) -> bool:
    """X_Real_IP and X-Real-IP are one name to CGI and WSGI (RFC 3875, section 4.1.18), so neither passes."""
    return hyphened in dropped or hyphened in _END_TO_END or _tells_origin(hyphened)


def _named_by_connection(fields: Fields) -> frozenset[bytes]:
    return frozenset(fields.tokens(b"connection")) - _END_TO_END
