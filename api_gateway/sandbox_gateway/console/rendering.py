"""Pages from templates. Every value in them is escaped."""

from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sandbox_gateway.console.paths import ROOT
from sandbox_gateway.console.sessions import Sessions, SignedIn

_ENVIRONMENT = Environment(
    loader=PackageLoader("sandbox_gateway.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_SHOWN = 160
"""Characters of a text in a table; its page has all of it."""


def shortened(text: str) -> str:
    """The text, or its beginning and `…`."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def sandbox_url(runtime_id: str) -> str:
    """The page of a sandbox."""
    return f"{ROOT}/sandboxes/{quote(runtime_id, safe='')}"


def duration(seconds: float) -> str:
    """In the two largest units that fit, such as `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, parts = int(seconds), list[str]()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts)


_ENVIRONMENT.filters |= {"shortened": shortened, "sandbox_url": sandbox_url, "duration": duration}


class Pages:
    """Makes whole pages, with the name and the navigation of who has signed in."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def page(
        self,
        request: Request,
        template: str,
        status: int = 200,
        *,
        retry_after: int = 0,
        **values: Any,
    ) -> HTMLResponse:
        """The page of this template."""
        signed_in: SignedIn | None = request.state.signed_in
        common: dict[str, Any] = {
            "owner": signed_in.key.owner if signed_in else "",
            "signed_in": signed_in is not None,
            "form_token": self._sessions.form_token(signed_in.session) if signed_in else "",
            "path": request.url.path,
        }
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        return HTMLResponse(fragment(template, **common, **values), status, headers)

    def problem(self, request: Request, status: int, detail: str, *, retry_after: int = 0) -> HTMLResponse:
        """A page that says why the request was refused."""
        request.state.noted.refusal = detail
        return self.page(request, "problem.html", status, retry_after=retry_after, code=status, detail=detail)

    def sign_in(
        self, request: Request, status: int = 200, problem: str = "", *, next_: str = ROOT, retry_after: int = 0
    ) -> HTMLResponse:
        """The form for an API key."""
        if status >= 400:
            request.state.noted.refusal = problem or "Nobody has signed in, or the session has ended."
        return self.page(
            request, "sign-in.html", status, retry_after=retry_after, problem=problem, ended=status == 401, next=next_
        )


def fragment(template: str, **values: Any) -> str:
    """The text of a template."""
    return (
        _ENVIRONMENT.get_template(template).render({"root": ROOT, **values}).encode(errors="backslashreplace").decode()
    )
