"""The `url` of a sandbox: only scheme and host, since OpenHands' SDK accepts no path in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox_gateway.contract.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme and authority (host, and port if any) under which a client reached the gateway."""

    scheme: str
    authority: str

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """From an absolute http or https URL without a path. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must start with http:// or https:// and name a host")
        if parts.path.rstrip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("must be scheme, host and port only")
        _ = parts.port  # raises ValueError when it is none
        return cls(parts.scheme, parts.netloc)

    @property
    def port(self) -> str:
        """`:port`, or nothing."""
        _, colon, port = self.authority.rpartition(":")
        return f":{port}" if colon and port.isdigit() else ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Both routing modes: a host name per sandbox below `base_domain`, or else the gateway's own address.

    `public` is the gateway's address for clients, if it is not the one that they used.
    """

    base_domain: str = ""
    public: Origin | None = None

    def of(self, runtime_id: str, seen: Origin) -> str:
        """URL of a sandbox for a client that reached the gateway at `seen`.

        Raises InvalidRequestError when a Host is needed and the request had none.
        """
        origin = self.public or seen
        if self.base_domain:
            return f"{origin.scheme}://{runtime_id}.{self.base_domain}{origin.port}"
        if not origin.authority:
            raise InvalidRequestError("Host: the request has no Host header, from which the sandbox's URL is made")
        return f"{origin.scheme}://{origin.authority}"

    def of_services(self, runtime_id: str, ports: Mapping[str, int], seen: Origin) -> dict[str, int]:
        """The URL and the port of each service in `ports`; in header mode none has a URL."""
        if not self.base_domain:
            return {}
        return {self.of(f"{service}-{runtime_id}", seen): port for service, port in ports.items()}
