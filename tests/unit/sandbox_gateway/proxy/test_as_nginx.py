"""What nginx was seen to refuse, ours refuses, and the other way round, but for what is listed here with its reason.

`python -m fuzz.nginx` records nginx.json anew.
"""

import orjson
import pytest

from fuzz.nginx import RECORD, requests
from unit.sandbox_gateway.proxy.memory import MemoryClient

OUTCOMES = orjson.loads(RECORD.read_bytes())["outcomes"]
REQUESTS = requests()

_LINES = "RFC 9112, section 2.2: a bare CR or LF may be refused. Parsers disagree about where such a line ends."
_NAMES = "RFC 9110, section 5.6.2: no token. nginx drops such a field or lets it pass."
_VALUES = "RFC 9110, section 5.5: a control character is to be refused or replaced. nginx passes it on."
_HOST = "RFC 9112, section 3.2: a malformed Host is to be answered 400. nginx passes it on as it is."
_START = "RFC 9112, section 3: one space between the parts of the request line. nginx skips more."
_TARGET = "RFC 9112, section 3.2: no request target. nginx passes it on as it is."
_VERSION = "Only HTTP/1.0 and HTTP/1.1 are defined with this syntax. nginx takes any minor version for HTTP/1.1."
_BOUNDED = "Ours bounds what is no content. nginx parses and drops it without end."
_HANDSHAKE = "Bytes behind a handshake are the WebSocket's. nginx sends such a request on as a plain one."
_CHUNKS = "RFC 9112, section 7.1: not the syntax of a chunked body. nginx takes it for one, and frames it anew."

STRICTER = {
    "head: bare LF after the request line": _LINES,
    "head: bare LF after a field": _LINES,
    "head: bare LF at the end": _LINES,
    "head: bare LF before the request": _LINES,
    "head: two CRs before LF": _LINES,
    "head: field without a colon": _NAMES,
    "head: obs-text in a name": _NAMES,
    "head: quote in a name": _NAMES,
    "head: bracket in a name": _NAMES,
    "head: control character in a value": _VALUES,
    "head: DEL in a value": _VALUES,
    "head: user in Host": _HOST,
    "head: word as port in Host": _HOST,
    "head: query in Host": _HOST,
    "head: backslash in Host": _HOST,
    "head: open bracket in Host": _HOST,
    "head: long port in Host": _HOST,
    "head: obs-text in Host": _HOST,
    "head: absolute form with a bad port": _HOST,
    "head: no Host in HTTP/1.0": "Ours routes by it, and HTTP/1.0 clients of today send it. nginx passes on none.",
    "head: two spaces": _START,
    "head: space after the version": _START,
    "head: raw UTF-8 in the target": _TARGET,
    "head: fragment in the target": _TARGET,
    "head: other scheme": _TARGET,
    "head: unknown method": "llhttp knows the registered methods; an agent server has no other.",
    "head: one field too many": "Ours bounds the number of fields, too; nginx only their bytes.",
    "head: no version": "HTTP/0.9 is spoken by no client of today.",
    "head: HTTP/1.2": _VERSION,
    "head: version of three digits": _VERSION,
    "head: empty lines before the request": "RFC 9112, section 2.2: at least one is skipped; ours skips just one.",
    "chunks: chunk shorter than its size": _CHUNKS,
    "chunks: bare LF after a chunk": _CHUNKS,
    "chunks: bare LF after the last chunk": _CHUNKS,
    "chunks: bare LF at the end": _CHUNKS,
    "chunks: bare LF after a trailer": _CHUNKS,
    "chunks: trailer without a colon": _CHUNKS,
    "chunks: folded trailer": _CHUNKS,
    "chunks: space before a colon in a trailer": _CHUNKS,
    "chunks: NUL in a trailer": _CHUNKS,
    "chunks: empty trailer name": _CHUNKS,
    "chunks: space after the size": _CHUNKS,
    "chunks: bare LF after the size": _CHUNKS,
    "chunks: NUL in an extension": _CHUNKS,
    "chunks: extension without a semicolon": _CHUNKS,
    "chunks: size of sixteen digits": "Ours takes up to fifteen digits, so that no parser behind it overflows.",
    "chunks: endless line": _BOUNDED,
    "chunks: endless trailers": _BOUNDED,
    "chunks: endless forbidden trailers": _BOUNDED,
    "framing: body of a WebSocket handshake": _HANDSHAKE,
    "framing: chunked body of a WebSocket handshake": _HANDSHAKE,
}
LAXER = {
    "exchange: odd bytes that a target may have": "nginx decodes the path; ours leaves that to the sandbox.",
    "exchange: the server as a whole": "nginx knows no `*`; RFC 9110, section 9.3.7, does.",
    "exchange: white space around values": "nginx trims only spaces; RFC 9110, section 5.6.3, has tabs, too.",
}

OTHERWISE_FORWARDED = {
    "exchange: the server as a whole in absolute form": "RFC 9112, section 3.2.4: `*` it is. nginx makes it `/`.",
}


def test_the_record_is_of_these_requests() -> None:
    assert OUTCOMES.keys() == REQUESTS.keys(), "record nginx anew: python -m fuzz.nginx"
    assert STRICTER.keys() | LAXER.keys() <= REQUESTS.keys()


@pytest.mark.parametrize("name", OUTCOMES)
async def test_refused_alike_but_for_these(name: str) -> None:
    client = MemoryClient()
    client.transport.deliver(REQUESTS[name])
    await client.settle()
    written, forwarded = client.transport.written, client.pool.written()
    await client.close()
    ours = written.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    theirs = OUTCOMES[name]["status"] >= 400
    assert (ours and not theirs, theirs and not ours) == (name in STRICTER, name in LAXER)
    if not ours and not theirs and OUTCOMES[name]["forwarded"] and name not in OTHERWISE_FORWARDED:
        assert forwarded.partition(b"\r\n")[0].decode("latin-1") == OUTCOMES[name]["forwarded"][0]
