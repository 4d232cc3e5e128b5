"""GET requests to registries and along their redirects: only https, bounded, its credentials only to the registry."""

import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson

from sandbox_gateway.registry.addresses import public_address
from sandbox_gateway.registry.credentials import Credentials

_MAXIMUM_BYTES = 4 * 1024 * 1024
"""The largest manifest that a registry must take (OCI distribution specification 1.1, "Pushing Manifests")."""
_REDIRECTS = 5
_TIMES = httpx.Timeout(5)
_CHALLENGE = re.compile(r"\bbearer\s+(.*)", re.IGNORECASE)
# Possessive, so each word is read once: a server may send one of a hundred thousand characters.
_PARAMETER = re.compile(r'(?<![a-z_])([a-z_]++)\s*+=\s*+"([^"]*)"', re.IGNORECASE)
_BASIC = re.compile(r"\bbasic\b", re.IGNORECASE)
_TOKEN = re.compile(r"[!-~]{1,16384}")


class RegistryError(Exception):
    """Why there is no answer from a registry; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its complete body."""

    status: int
    headers: httpx.Headers
    body: bytes
    host: str
    """Authority of the server that gave it, after redirects."""


class RegistryClient:
    """A conversation with one registry. `trusted` hosts (authorities) may have any address, others only public ones.

    Raises RegistryError, PrivateAddressError, httpx.HTTPError, httpx.InvalidURL and OSError.
    """

    def __init__(
        self, registry: str, trusted: Collection[str], tls: ssl.SSLContext, credentials: Credentials | None = None
    ) -> None:
        self._origin = httpx.URL(f"https://{registry}")
        self._host = authority(registry)
        self._trusted = {authority(name) for name in trusted}
        # An explicit transport ignores the proxies of the environment, which would resolve names themselves. No
        # connection is reused: pools would mix up two servers that have different names at one address.
        transport = httpx.AsyncHTTPTransport(verify=tls, limits=httpx.Limits(max_keepalive_connections=0))
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=False, timeout=_TIMES)
        self._credentials = credentials
        self._authorization = ""

    async def __aenter__(self) -> "RegistryClient":
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._http.__aexit__(*error)

    async def get(self, path: str, *, scope: str, accept: str = "*/*") -> Answer:
        """The answer to GET of an absolute path, after redirects, with a token of this scope if one is required."""
        url = self._origin.join(path)
        answer = await self._follow(url, accept)
        # Credentials go where the registry's own challenge says, and never where the target of a redirect says.
        is_own = answer.host == self._host
        if answer.status == 401 and is_own and not self._authorization:
            self._authorization = await self._authorize(answer.headers.get("www-authenticate", ""), scope)
            if self._authorization:
                answer = await self._follow(url, accept)
        return answer

    async def _authorize(self, challenge: str, scope: str) -> str:
        """The header that the registry's challenge asks for: a token, without credentials an anonymous one, or ""."""
        login = self._credentials.header if self._credentials else ""
        if token := await self._token(challenge, scope, login):
            return f"Bearer {token}"
        return login if _BASIC.search(challenge) else ""

    async def _token(self, challenge: str, scope: str, login: str) -> str:
        """A token, according to the registry's challenge (distribution's token specification), or ""."""
        match = _CHALLENGE.search(challenge)
        parameters = {name.lower(): value for name, value in _PARAMETER.findall(match[1])} if match else {}
        if not parameters.get("realm"):
            return ""
        query = {"scope": parameters.get("scope") or scope}
        if service := parameters.get("service"):
            query["service"] = service
        url = httpx.URL(parameters["realm"]).copy_merge_params(query)
        answer = await self._follow(url, "application/json", login)
        if answer.status != 200:
            return ""
        body = json_object(answer.body)
        token = body.get("token") or body.get("access_token")
        return token if isinstance(token, str) and _TOKEN.fullmatch(token) else ""

    async def _follow(self, url: httpx.URL, accept: str, authorization: str = "") -> Answer:
        """The answer after redirects, which do not get this `authorization`."""
        for _ in range(_REDIRECTS + 1):
            answer = await self._send(url, accept, authorization)
            authorization = ""
            location = answer.headers.get("location")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                return answer
            url = url.join(location)
        raise RegistryError("it redirects too often")

    async def _send(self, url: httpx.URL, accept: str, authorization: str) -> Answer:
        if url.scheme != "https" or url.userinfo or not url.host:
            raise RegistryError("it leads to a URL that is not plain https")
        # Not compressed: a few bytes could expand to gigabytes.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        asked = url.netloc.decode()
        if asked == self._host:
            authorization = authorization or self._authorization
        if authorization:
            headers["Authorization"] = authorization
        extensions: dict[str, Any] = {}
        if asked not in self._trusted:
            host = url.raw_host.decode()
            headers["Host"] = asked
            extensions["sni_hostname"] = host
            url = url.copy_with(host=await public_address(host, url.port or 443))
        body = bytearray()
        async with self._http.stream("GET", url, headers=headers, extensions=extensions) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _MAXIMUM_BYTES:
                    raise RegistryError(f"it answers with more than {_MAXIMUM_BYTES} bytes")
        return Answer(response.status_code, response.headers, bytes(body), asked)


def authority(registry: str) -> str:
    """`host` or `host:port` as in a URL, without the default port."""
    return httpx.URL(f"https://{registry}").netloc.decode()


def json_object(text: bytes) -> Mapping[str, Any]:
    """The JSON object in a text; empty when there is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
