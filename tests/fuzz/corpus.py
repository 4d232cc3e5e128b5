"""What fuzzing begins with: the tables of the unit tests."""

from fuzz.targets import encode
from unit.sandbox_gateway.proxy.bad_answers import CUT_ANSWERS, REFUSED_ANSWERS
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.oracle import Steps
from unit.sandbox_gateway.proxy.refusals import REFUSED_CHUNKS, REFUSED_FRAMING, REFUSED_HEADS, framed_request
from unit.sandbox_gateway.proxy.support import REQUEST

_SHORT = 2000
"""Bytes; the long rows are about limits, and slow fuzzing down."""


def seeds(target: str) -> list[bytes]:
    """The corpus of a target."""
    requests = [
        *(exchange.sent for exchange in EXCHANGES.values()),
        *(data for _, data in REFUSED_HEADS.values()),
        *(framed_request(fields) for _, fields in REFUSED_FRAMING.values()),
    ]
    answers = [
        *(answer for exchange in EXCHANGES.values() for _, answer in exchange.steps),
        *REFUSED_ANSWERS.values(),
        *(answer for answer, _ in CUT_ANSWERS.values()),
    ]
    bodies = [*REFUSED_CHUNKS.values(), *(data.partition(b"\r\n\r\n")[2] for data in (*requests, *answers))]
    chunked = framed_request(b"Transfer-Encoding: chunked\r\n")
    plays: list[Steps] = [
        *(
            [("client", exchange.sent), *(("upstream", answer) for _, answer in exchange.steps)]
            for exchange in EXCHANGES.values()
        ),
        *([("client", REQUEST), ("upstream", answer), ("upstream closes", b"")] for answer in answers),
        *([("client", chunked), ("client", body)] for body in REFUSED_CHUNKS.values()),
    ]
    found = {
        "request-heads": requests,
        "response-heads": answers,
        "chunks": bodies,
        "exchanges": [encode(play) for play in plays],
    }[target]
    return sorted({data for data in found if len(data) <= _SHORT})
