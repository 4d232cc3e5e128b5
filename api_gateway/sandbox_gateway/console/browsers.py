"""What a request says of its browser: cookies, TLS, and whether one of the console's own pages has sent it.

Pages in sandboxes are strangers, even where the sandboxes' hosts have the same site as the gateway's. There, SameSite
does not keep their requests from having the cookie, and they can set cookies for the whole domain, though none with the
prefix `__Host-`. So a change needs a header that only the browser itself can set, besides the token of its form.
"""

from starlette.datastructures import Headers

from sandbox_gateway.contract.addresses import Origin

SECURE_COOKIE = "__Host-ohsb-console"
PLAIN_COOKIE = "ohsb-console"
"""For plain HTTP, where browsers accept no cookie with that prefix."""


def by_tls(headers: Headers) -> bool:
    """Whether the browser uses TLS, to the gateway or to a proxy; a proxy that is not trusted cannot hide it."""
    return headers.get("x-forwarded-proto") == "https" or headers.get("origin", "").startswith("https://")


def cookies(headers: Headers) -> list[str]:
    """The values of the session cookie, which another site may have set too."""
    names = (SECURE_COOKIE,) if by_tls(headers) else (SECURE_COOKIE, PLAIN_COOKIE)
    pairs = [pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";")]
    return [value for wanted in names for name, _, value in pairs if name == wanted]


def set_cookie(value: str, *, secure: bool) -> str:
    """A Set-Cookie header. An empty value removes the cookie."""
    name, more = (SECURE_COOKIE, "; Secure") if secure else (PLAIN_COOKIE, "")
    end = "" if value else "; Max-Age=0"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{more}{end}"


def from_own_page(headers: Headers, public: Origin | None) -> bool:
    """Whether a page of this origin has sent it. `public` is the gateway's address for clients, if it is known.

    Browsers send Sec-Fetch-Site where they use TLS or localhost, and Origin with each form.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    _, _, authority = headers.get("origin", "").partition("://")
    own = {headers.get("x-forwarded-host") or headers.get("host", ""), public.authority if public else ""}
    return bool(authority) and authority.lower() in {name.lower() for name in own}
