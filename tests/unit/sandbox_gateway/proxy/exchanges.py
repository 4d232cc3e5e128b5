"""The table of whole exchanges: what a client sends, what an upstream gets and answers, and what the client gets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """`steps` are (bytes that the upstream gets, bytes that it then answers), in order, whatever its connections."""

    sent: bytes
    steps: tuple[tuple[bytes, bytes], ...]
    received: bytes
    upstream_closes: bool = False
    """After the last answer."""


_KEY = b"X-Session-API-Key: key-of-abc\r\n"
_FROM = b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: gw\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_OK_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def _sent(line: bytes, fields: bytes = b"", body: bytes = b"") -> bytes:
    return line + b"\r\nHost: gw\r\n" + _KEY + fields + b"\r\n" + body


def _forwarded(line: bytes, fields: bytes = b"", body: bytes = b"", *, added: bytes = b"") -> bytes:
    return line + b"\r\nHost: gw\r\n" + _KEY + fields + _FROM + added + b"\r\n" + body


_GET = b"GET /a HTTP/1.1"
_POST = b"POST /a HTTP/1.1"
_POST_V1 = b"POST /v1/chat/completions HTTP/1.1"
_FILE = b"GET /api/conversations/1/workspace/report.html HTTP/1.1"
_TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: vendor=a,other=b\r\n"
_CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"

EXCHANGES: dict[str, Exchange] = {
    "plain": Exchange(_sent(_GET), ((_forwarded(_GET), _OK),), _OK),
    "raw target": Exchange(
        _sent(b"GET /a%2Fb/../%7e//c?q=%2F&&x HTTP/1.1"),
        ((_forwarded(b"GET /a%2Fb/../%7e//c?q=%2F&&x HTTP/1.1"), _OK),),
        _OK,
    ),
    "trace context": Exchange(_sent(_GET, _TRACE), ((_forwarded(_GET, _TRACE), _OK),), _OK),
    "absolute form": Exchange(_sent(b"GET http://gw/a HTTP/1.1"), ((_forwarded(_GET), _OK),), _OK),
    "two on one connection": Exchange(
        _sent(_GET) + _sent(b"GET /b HTTP/1.1"),
        ((_forwarded(_GET), _OK), (_forwarded(b"GET /b HTTP/1.1"), _OK)),
        _OK + _OK,
    ),
    "body of known length": Exchange(
        _sent(_POST, b"Content-Length: 4\r\n", b"data") + _sent(_GET),
        ((_forwarded(_POST, b"Content-Length: 4\r\n", b"data"), _OK), (_forwarded(_GET), _OK)),
        _OK + _OK,
    ),
    "chunked body": Exchange(
        _sent(_POST, _CHUNKED, _CHUNKS) + _sent(_GET),
        ((_forwarded(_POST, _CHUNKED, _CHUNKS), _OK), (_forwarded(_GET), _OK)),
        _OK + _OK,
    ),
    "trailers of a request": Exchange(
        _sent(_POST, _CHUNKED, b"1\r\nx\r\n0\r\nX-Sum: 1\r\nX-API-Key: no\r\n\r\n"),
        ((_forwarded(_POST, _CHUNKED, b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"), _OK),),
        _OK,
    ),
    "body of a GET": Exchange(
        _sent(_GET, b"Content-Length: 1\r\n", b"x"), ((_forwarded(_GET, b"Content-Length: 1\r\n", b"x"), _OK),), _OK
    ),
    "close by the client": Exchange(
        _sent(_GET, b"Connection: close\r\n") + b"ignored", ((_forwarded(_GET), _OK),), _OK_CLOSE
    ),
    "close by the upstream": Exchange(
        _sent(_GET) + _sent(_GET), ((_forwarded(_GET), _OK_CLOSE), (_forwarded(_GET), _OK)), _OK + _OK
    ),
    "hop-by-hop fields of a request": Exchange(
        _sent(
            _GET,
            b"Connection: keep-alive, X-Hop, Host, X-Session-API-Key\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: close\r\n"
            b"X-Stays: 1\r\n",
        ),
        ((_forwarded(_GET, b"X-Stays: 1\r\n"), _OK),),
        _OK,
    ),
    "claims of origin and the platform's key": Exchange(
        _sent(
            _GET,
            b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nx-forwarded-host: evil\r\nX-Forwarded-Port: 1\r\n"
            b"Forwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nX-API-Key: platform\r\nAuthorization: Bearer b\r\n"
            b"Cookie: c=d\r\n",
        ),
        ((_forwarded(_GET, b"Authorization: Bearer b\r\n"), _OK),),
        _OK,
    ),
    "OpenAI's own client": Exchange(
        _POST_V1 + b"\r\nHost: gw\r\nAuthorization: Bearer key-of-abc\r\nX-API-Key: p\r\nContent-Length: 0\r\n\r\n",
        (
            (
                _POST_V1
                + b"\r\nHost: gw\r\nAuthorization: Bearer key-of-abc\r\nContent-Length: 0\r\n"
                + _FROM
                + b"\r\n",
                _OK,
            ),
        ),
        _OK,
    ),
    "workspace file by the cookie": Exchange(
        _FILE + b"\r\nHost: gw\r\nCookie: c=d; oh_workspace_session_key=key-of-abc; e=f\r\nX-API-Key: p\r\n\r\n",
        (
            (
                _FILE + b"\r\nHost: gw\r\nCookie: oh_workspace_session_key=key-of-abc\r\n" + _FROM + b"\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Security-Policy: img-src *\r\nContent-Length: 2\r\n\r\nok",
            ),
        ),
        b"HTTP/1.1 200 OK\r\nContent-Security-Policy: img-src *\r\nContent-Length: 2\r\nContent-Security-Policy: "
        b"sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts\r\n\r\nok",
    ),
    "workspace file by the header, with another sandbox's cookie": Exchange(
        _sent(_FILE, b"Cookie: oh_workspace_session_key=key-of-down\r\n"), ((_forwarded(_FILE), _OK),), _OK
    ),
    "hop-by-hop fields of a response": Exchange(
        _sent(_GET),
        (
            (
                _forwarded(_GET),
                b"HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nServer: s\r\n"
                b"Content-Length: 0\r\n\r\n",
            ),
        ),
        b"HTTP/1.1 200 Fine\r\nServer: s\r\nContent-Length: 0\r\n\r\n",
    ),
    "chunked response with trailers": Exchange(
        _sent(_GET),
        ((_forwarded(_GET), b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n"),),
        b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    "HEAD": Exchange(
        _sent(b"HEAD /a HTTP/1.1") + _sent(_GET),
        (
            (_forwarded(b"HEAD /a HTTP/1.1"), b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"),
            (_forwarded(_GET), _OK),
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + _OK,
    ),
    "204 and 304": Exchange(
        _sent(_GET) + _sent(_GET),
        (
            (_forwarded(_GET), b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
            (_forwarded(_GET), b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n"),
        ),
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n",
    ),
    "redirect passes": Exchange(
        _sent(_GET),
        ((_forwarded(_GET), b"HTTP/1.1 307 T\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"),),
        b"HTTP/1.1 307 T\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
    ),
    "interim responses": Exchange(
        _sent(_POST, b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"x"),
        (
            (
                _forwarded(_POST, b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"x"),
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK,
            ),
        ),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK,
    ),
    "response until close": Exchange(
        _sent(_GET),
        ((_forwarded(_GET), b"HTTP/1.1 200 OK\r\n\r\nall there is"),),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall there is",
        upstream_closes=True,
    ),
    "response in HTTP/1.0": Exchange(
        _sent(_GET) + _sent(_GET),
        ((_forwarded(_GET), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), (_forwarded(_GET), _OK)),
        _OK + _OK,
    ),
    "client of HTTP/1.0": Exchange(
        _sent(b"POST /a HTTP/1.0", b"Expect: 100-continue\r\nContent-Length: 1\r\n", b"x"),
        (
            (
                _forwarded(_POST, b"Content-Length: 1\r\n", b"x"),
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + _CHUNKED + b"\r\n" + _CHUNKS,
            ),
        ),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
    ),
    "upgrade": Exchange(
        _sent(_GET, b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: x\r\n")
        + b"client bytes",
        (
            (
                _forwarded(
                    _GET,
                    b"Sec-WebSocket-Extensions: x\r\n",
                    added=b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
                ),
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\nhello",
            ),
            (b"client bytes", b"upstream bytes"),
        ),
        b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"helloupstream bytes",
    ),
    "upgrade refused by the upstream": Exchange(
        _sent(_GET, b"Connection: Upgrade\r\nUpgrade: websocket\r\n") + _sent(_GET),
        (
            (_forwarded(_GET, added=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), _OK),
            (_forwarded(_GET), _OK),
        ),
        _OK + _OK,
    ),
    "look-alikes of fields that clients may not send": Exchange(
        _sent(
            _GET,
            b"X_API_Key: platform\r\nX-Api_Key: platform\r\nx-api-key: platform\r\nX_Forwarded_For: 1.1.1.1\r\n"
            b"X_Real_IP: 1.1.1.1\r\nX-Forwarded_Proto: https\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\n"
            b"X_Session_API_Key: other\r\nConnection: X-Hop\r\nX_Hop: 1\r\nX_Stays: 1\r\n",
        ),
        ((_forwarded(_GET, b"X_Stays: 1\r\n"), _OK),),
        _OK,
    ),
    "the platform's key twice": Exchange(
        _sent(_GET, b"X-API-Key: a\r\nX-API-KEY: b\r\n"), ((_forwarded(_GET), _OK),), _OK
    ),
    "what Connection may not take away": Exchange(
        _sent(
            _POST,
            b"Connection: close, X-API-Key, Content-Length, X-Forwarded-For, Authorization\r\nX-API-Key: k\r\n"
            b"Authorization: Bearer b\r\nContent-Length: 1\r\n",
            b"x",
        ),
        ((_forwarded(_POST, b"Authorization: Bearer b\r\nContent-Length: 1\r\n", b"x"), _OK),),
        _OK_CLOSE,
    ),
    "odd bytes that a target may have": Exchange(
        _sent(b'GET /%00%zz/<>"{}|\\^`;a=b//?x=http://y/?[]&%23 HTTP/1.1'),
        ((_forwarded(b'GET /%00%zz/<>"{}|\\^`;a=b//?x=http://y/?[]&%23 HTTP/1.1'), _OK),),
        _OK,
    ),
    "absolute form outranks Host": Exchange(
        b"GET http://gw/a?b HTTP/1.1\r\nHost: other\r\n" + _KEY + b"\r\n",
        ((_forwarded(b"GET /a?b HTTP/1.1"), _OK),),
        _OK,
    ),
    "the server as a whole": Exchange(_sent(b"OPTIONS * HTTP/1.1"), ((_forwarded(b"OPTIONS * HTTP/1.1"), _OK),), _OK),
    "the server as a whole in absolute form": Exchange(
        _sent(b"OPTIONS http://gw HTTP/1.1"), ((_forwarded(b"OPTIONS * HTTP/1.1"), _OK),), _OK
    ),
    "Host of IPv6": Exchange(
        b"GET /a HTTP/1.1\r\nHost: [::1]:80\r\n" + _KEY + b"\r\n",
        ((_forwarded(_GET).replace(b"Host: gw", b"Host: [::1]:80"), _OK),),
        _OK,
    ),
    "white space around values": Exchange(
        _sent(_POST, b"X: \t a\tb \t\r\nY:\r\nContent-Length: 1 \t\r\n", b"x"),
        ((_forwarded(_POST, b"X: a\tb\r\nY: \r\nContent-Length: 1\r\n", b"x"), _OK),),
        _OK,
    ),
    "obs-text in values": Exchange(
        _sent(_GET, b"X: \xff\xc3\xa9\r\n"),
        ((_forwarded(_GET, b"X: \xff\xc3\xa9\r\n"), b"HTTP/1.1 200 \xe9\r\nY: \xe9\r\nContent-Length: 0\r\n\r\n"),),
        b"HTTP/1.1 200 \xe9\r\nY: \xe9\r\nContent-Length: 0\r\n\r\n",
    ),
    "empty line before a request": Exchange(
        b"\r\n" + _sent(_POST, b"Content-Length: 1\r\n", b"x") + b"\r\n" + _sent(_GET),
        ((_forwarded(_POST, b"Content-Length: 1\r\n", b"x"), _OK), (_forwarded(_GET), _OK)),
        _OK + _OK,
    ),
    "length zero and zeros before a length": Exchange(
        _sent(_POST, b"Content-Length: 0\r\n") + _sent(_POST, b"Content-Length: 0001\r\n", b"x"),
        (
            (_forwarded(_POST, b"Content-Length: 0\r\n"), _OK),
            (_forwarded(_POST, b"Content-Length: 0001\r\n", b"x"), _OK),
        ),
        _OK + _OK,
    ),
    "POST without a body": Exchange(
        _sent(_POST) + _sent(_GET), ((_forwarded(_POST), _OK), (_forwarded(_GET), _OK)), _OK * 2
    ),
    "chunk extensions, zeros and case": Exchange(
        _sent(
            _POST, b"Transfer-Encoding: Chunked\r\n", b'00A;n="v";m\r\n0123456789\r\na\r\n0123456789\r\n000;x\r\n\r\n'
        ),
        (
            (
                _forwarded(
                    _POST,
                    b"Transfer-Encoding: Chunked\r\n",
                    b'00A;n="v";m\r\n0123456789\r\na\r\n0123456789\r\n000;x\r\n\r\n',
                ),
                _OK,
            ),
        ),
        _OK,
    ),
    "trailers that would change the request": Exchange(
        _sent(
            _POST,
            _CHUNKED,
            b"0\r\nHost: evil\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nX-Session-API-Key: k\r\n"
            b"X_API_Key: k\r\nAuthorization: b\r\nCookie: c\r\nX-Forwarded-For: 1.1.1.1\r\nForwarded: for=b\r\n"
            b"Connection: close\r\nUpgrade: websocket\r\nX-Sum:\r\n\r\n",
        )
        + _sent(_GET),
        ((_forwarded(_POST, _CHUNKED, b"0\r\nX-Sum:\r\n\r\n"), _OK), (_forwarded(_GET), _OK)),
        _OK + _OK,
    ),
    "expectation that nobody knows": Exchange(
        _sent(_GET, b"Expect: tea\r\n"),
        ((_forwarded(_GET, b"Expect: tea\r\n"), b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"),),
        b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
    ),
    "interim responses have no content": Exchange(
        _sent(_GET),
        (
            (
                _forwarded(_GET),
                b"HTTP/1.1 103 E\r\nContent-Length: 5\r\nLink: </a>\r\n\r\nHTTP/1.1 199 X\r\n"
                + _CHUNKED
                + b"\r\n"
                + _OK,
            ),
        ),
        b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\nHTTP/1.1 199 X\r\n\r\n" + _OK,
    ),
    "HEAD with a coding, and without any framing": Exchange(
        _sent(b"HEAD /a HTTP/1.1") * 2 + _sent(_GET),
        (
            (_forwarded(b"HEAD /a HTTP/1.1"), b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"\r\n"),
            (_forwarded(b"HEAD /a HTTP/1.1"), b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"),
            (_forwarded(_GET), _OK),
        ),
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\n" + _OK,
    ),
    "response before the end of its request": Exchange(
        _sent(_POST, b"Content-Length: 9\r\n", b"half"),
        ((_forwarded(_POST, b"Content-Length: 9\r\n", b"half"), _OK),),
        _OK_CLOSE,
    ),
    "what Connection may not take from a response": Exchange(
        _sent(_GET),
        (
            (
                _forwarded(_GET),
                b"HTTP/1.1 200 OK\r\nConnection: Content-Length, Authorization\r\nContent-Length: 2\r\n\r\nok",
            ),
        ),
        _OK,
    ),
    "until close for a client of HTTP/1.0": Exchange(
        _sent(b"GET /a HTTP/1.0"),
        ((_forwarded(_GET), b"HTTP/1.1 200 OK\r\n\r\nall there is"),),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall there is",
        upstream_closes=True,
    ),
    "both sides of HTTP/1.0": Exchange(
        _sent(b"GET /a HTTP/1.0", b"Connection: keep-alive\r\n"),
        ((_forwarded(_GET), b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),),
        _OK_CLOSE,
    ),
    "upgrade to something else": Exchange(
        _sent(
            _POST,
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nContent-Length: 1\r\n",
            b"x",
        ),
        ((_forwarded(_POST, b"Content-Length: 1\r\n", b"x"), _OK),),
        _OK,
    ),
    "POST that asks for a WebSocket": Exchange(
        _sent(_POST, b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", b"x"),
        ((_forwarded(_POST, b"Content-Length: 1\r\n", b"x"), _OK),),
        _OK,
    ),
}
