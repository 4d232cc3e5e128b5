"""A release behind Traefik, as its clients see it."""

import ssl
from dataclasses import dataclass

import httpx
from websockets.asyncio.client import connect

from cluster.runtime import Runtime
from cluster.site import Site
from local_cluster.network import NODE_ADDRESS
from local_cluster.pki import Pki
from long.traefik import Traefik

DOMAIN = "boxes.example.com"


@dataclass(frozen=True)
class Street:
    """A release in host mode behind Traefik, with one sandbox, which serves streams at its first service port."""

    site: Site
    traefik: Traefik
    runtime: Runtime
    pki: Pki

    @property
    def trusted(self) -> ssl.SSLContext:
        """Takes the certificates of the release alone."""
        return ssl.create_default_context(cafile=str(self.pki.ca))

    @property
    def box(self) -> str:
        """The sandbox's own host."""
        return f"{self.runtime.id}.{DOMAIN}"

    @property
    def work(self) -> str:
        """The host of what it serves."""
        return f"work-1-{self.box}"

    def client(self, host: str, entrance: str = "websecure", *, http2: bool = False) -> httpx.Client:
        """A client of this host; Traefik has to show a certificate for it."""

        def name(request: httpx.Request) -> None:
            request.extensions["sni_hostname"] = host

        return httpx.Client(
            base_url=f"https://{NODE_ADDRESS}:{self.traefik.ports[entrance]}",
            headers={"Host": host},
            http2=http2,
            event_hooks={"request": [name]},
            verify=self.trusted,
            timeout=httpx.Timeout(60, read=300),
            trust_env=False,
        )

    def websocket(self, host: str, path: str, entrance: str, **headers: str) -> connect:
        """A WebSocket that sends no pings."""
        return connect(
            f"wss://{host}{path}",
            host=NODE_ADDRESS,
            port=self.traefik.ports[entrance],
            ssl=self.trusted,
            server_hostname=host,
            additional_headers=headers,
            proxy=None,
            open_timeout=60,
            ping_interval=None,
        )
