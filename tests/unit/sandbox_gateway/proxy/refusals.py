"""What must be refused: heads and framing by the status of their answer, and chunked bodies."""

from sandbox_gateway.proxy.head import MAX_HEAD_BYTES

REFUSED_HEADS = {
    "bare LF after the request line": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "bare LF after a field": (400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    "bare LF at the end": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "bare CR in a field": (400, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    "bare LF before the request": (400, b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "folded field": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"),
    "space before a colon": (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "space before the first field": (400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "field without a colon": (400, b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n"),
    "empty field name": (400, b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    "NUL in a value": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "space after the version": (400, b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    "space in the target": (400, b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "raw UTF-8 in the target": (400, b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "control character in the target": (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment in the target": (400, b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "authority as the target": (400, b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "asterisk without OPTIONS": (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "other scheme": (400, b"GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "user in the target": (400, b"GET http://u@a/b HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "empty Host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    "list as Host": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "path in Host": (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "user in Host": (400, b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    "word as port in Host": (400, b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    "unknown method": (400, b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "method in lower case": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no version": (505, b"GET /\r\n\r\n"),
    "HTTP/0.9": (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/1.2": (400, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "other protocol": (400, b"GET / RTSP/1.0\r\nHost: a\r\n\r\n"),
    "large head": (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * MAX_HEAD_BYTES)),
    "large head without an end": (431, b"GET /%b" % (b"a" * MAX_HEAD_BYTES)),
    "empty lines before the request": (400, b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
}

REFUSED_FRAMING = {
    "both fields": (400, b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    "both fields, other order": (400, b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    "repeated length": (400, b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "conflicting lengths": (400, b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "list as length": (400, b"Content-Length: 5, 5\r\n"),
    "signed length": (400, b"Content-Length: +5\r\n"),
    "negative length": (400, b"Content-Length: -5\r\n"),
    "hexadecimal length": (400, b"Content-Length: 0x5\r\n"),
    "empty length": (400, b"Content-Length:\r\n"),
    "huge length": (400, b"Content-Length: 99999999999999999999\r\n"),
    "unknown coding": (400, b"Transfer-Encoding: xchunked\r\n"),
    "identity coding": (400, b"Transfer-Encoding: identity\r\n"),
    "other coding before chunked": (501, b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked not last": (400, b"Transfer-Encoding: chunked, gzip\r\n"),
    "chunked twice": (400, b"Transfer-Encoding: chunked, chunked\r\n"),
    "two codings": (400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    "quoted coding": (400, b'Transfer-Encoding: "chunked"\r\n'),
    "vertical tab": (400, b"Transfer-Encoding: \x0bchunked\r\n"),
    "empty coding": (400, b"Transfer-Encoding:\r\n"),
    "body of a WebSocket handshake": (400, b"Content-Length: 5\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"),
}


def framed_request(fields: bytes) -> bytes:
    """A request for a sandbox with these fields."""
    method = b"GET" if b"websocket" in fields else b"POST"
    return b"%b / HTTP/1.1\r\nHost: a\r\nX-Session-API-Key: key-of-abc\r\n%b\r\n" % (method, fields)


REFUSED_CHUNKS = {
    "word as size": b"xyz\r\n",
    "empty size": b"\r\n",
    "signed size": b"+5\r\nhello\r\n",
    "0x size": b"0x5\r\nhello\r\n",
    "space before the size": b" 5\r\nhello\r\n",
    "space after the size": b"5 \r\nhello\r\n",
    "huge size": b"FFFFFFFFFFFFFFFFF\r\n",
    "bare LF after the size": b"5\nhello\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "chunk longer than its size": b"3\r\nhello\r\n",
    "chunk shorter than its size": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF after a chunk": b"5\r\nhello\n0\r\n\r\n",
    "trailer without a colon": b"0\r\nnocolon\r\n\r\n",
    "folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "space before a colon in a trailer": b"0\r\nX : a\r\n\r\n",
    "endless line": b"5;" + b"a" * 5000,
    "endless trailers": b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 400,
}
