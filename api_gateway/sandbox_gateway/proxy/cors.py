"""Lets pages of other origins read the gateway's own answers.

A sandbox's answers have their own CORS fields, and the gateway adds nothing to them. Where no sandbox can be asked, the
gateway answers a preflight, which carries no key, and lets it pass. That reveals nothing: the next request needs the
key, and the answer to it decides whether the page may read it.

Credentials, which are cookies, are allowed only to set and to remove the cookie of workspace files. That request has
its key in a header, which the page must know, and uses no cookie. Everywhere else a page could use cookies of other
sandboxes: in header mode all share one host, and a refusal says more to a request with a sandbox's key.
"""

from dataclasses import replace

from sandbox_gateway.proxy.answers import Answer
from sandbox_gateway.proxy.head import RequestHead

_SETS_COOKIE = b"/api/auth/workspace-session"
_CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")


def is_preflight(request: RequestHead) -> bool:
    """Whether this is a browser's CORS preflight."""
    fields = request.fields.joined
    return request.method == b"OPTIONS" and b"origin" in fields and b"access-control-request-method" in fields


def preflight(request: RequestHead) -> Answer:
    """The answer that lets a preflight pass."""
    fields = request.fields.joined
    headers = [
        (b"Access-Control-Allow-Methods", fields[b"access-control-request-method"]),
        (b"Access-Control-Max-Age", b"600"),
        (b"Vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if requested := fields.get(b"access-control-request-headers"):
        headers.append((b"Access-Control-Allow-Headers", requested))
    return Answer(204, headers=tuple(headers))


def readable(answer: Answer, request: RequestHead) -> Answer:
    """The gateway's own answer, readable for the page that sent this request, if a page did."""
    origin = request.fields.joined.get(b"origin")
    if origin is None:
        return answer
    headers = [*answer.headers, (b"Access-Control-Allow-Origin", origin), (b"Vary", b"Origin")]
    if request.target.partition(b"?")[0] == _SETS_COOKIE:
        headers.append(_CREDENTIALS)
    if any(name == b"Retry-After" for name, _ in answer.headers):
        headers.append((b"Access-Control-Expose-Headers", b"Retry-After"))
    return replace(answer, headers=tuple(headers))
