"""What sandboxes may answer that is not HTTP: nothing there is trusted."""

from sandbox_gateway.proxy.head import MAX_FIELDS

_TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED_ANSWERS: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-x\r\n",
    "HTTP/0.9": b"<html>hello</html>\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "protocol in lower case": b"http/1.1 200 OK\r\n\r\n",
    "ICY": b"ICY 200 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "status with a sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "control character in the reason": b"HTTP/1.1 200 O\x01K\r\n\r\n",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "bare LF after the status line": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "bare LF after a field": b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n",
    "bare LF at the end": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX: y\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": b"HTTP/1.1 200 OK\r\nX\x00: y\r\nContent-Length: 0\r\n\r\n",
    "folded field": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    "space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "too many fields": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%b\r\n" % (b"X: y\r\n" * MAX_FIELDS),
    "no colon": b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n",
    "empty name": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    "repeated length": _TWO + b"Content-Length: 2\r\n\r\nok",
    "conflicting lengths": _TWO + b"Content-Length: 3\r\n\r\nok",
    "list as length": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "both fields": _TWO + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "two codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "empty member before chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "identity coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other protocol unasked": b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "one large field": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 12_000,
    "endless reason": b"HTTP/1.1 200 " + b"a" * 70_000,
    "empty lines": b"\r\n" * 20_000,
}
"""Nothing of them reaches the client, which is answered 502."""

CUT_ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "word as chunk size": (_CHUNKED + b"xyz\r\n", _CHUNKED),
    "negative chunk size": (_CHUNKED + b"-1\r\n", _CHUNKED),
    "huge chunk size": (_CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n", _CHUNKED),
    "bare LF after a chunk size": (_CHUNKED + b"2\nok\r\n0\r\n\r\n", _CHUNKED),
    "bare CR in an extension": (_CHUNKED + b"2;a\rb\r\nok\r\n0\r\n\r\n", _CHUNKED),
    "bare LF in an extension": (_CHUNKED + b"2;a\nb\r\nok\r\n0\r\n\r\n", _CHUNKED),
    "endless extension": (_CHUNKED + b"2;" + b"a" * 5000, _CHUNKED),
    "bare CR in a trailer": (_CHUNKED + b"0\r\nX: a\rSet-Cookie: b\r\n\r\n", _CHUNKED),
    "endless trailers": (_CHUNKED + b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 400, _CHUNKED),
    "endless forbidden trailers": (_CHUNKED + b"0\r\n" + b"Date: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 500, _CHUNKED),
}
"""The answer, and its beginning, up to which nothing is wrong with it: so far it may pass, and no further than the line
that is. The client must see that it is not complete."""
