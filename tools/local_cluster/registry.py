"""A registry in the node's network, from which the node pulls. It runs only for those who ask for it."""

import http.client
import json
import re
import secrets
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local_cluster import build, pki
from local_cluster.daemons import Daemon, Daemons
from local_cluster.errors import ClusterError
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.pki import Pki
from local_cluster.progress import Progress
from local_cluster.registry_images import Image

FAMILY = "registry"
PORT = 5000
AUTHORITY = f"{NODE_ADDRESS}:{PORT}"
"""The registry's name in image references, from the node, from pods and from this machine."""
USER = "puller"
PUBLIC = "public/"
"""Repositories that begin so need no credentials."""
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*:[\w][\w.-]{0,127}", re.ASCII)
"""A repository and a tag (OCI distribution specification 1.1, "Pulling manifests")."""
_READY_SECONDS = 30
_REQUEST_SECONDS = 300
_PIECE = 1 << 20


@dataclass(frozen=True)
class Trouble:
    """What a repository does to those who ask it: `status` answers each request, `bytes_per_second` is all it gives."""

    status: int = 0
    bytes_per_second: int = 0


def hosts_toml(pki: Pki) -> str:
    """What containerd has to know of the registry: whose certificates to trust."""
    return f"server = {json.dumps(f'https://{AUTHORITY}')}\nca = {json.dumps(str(pki.ca))}\n"


class Registry:
    """The registry of one cluster. Troubles are known by repository; "" is all that have none of their own."""

    def __init__(self, state: State, pki: Pki, daemons: Daemons) -> None:
        self._directory = state.root / "registry"
        self.settings = self._directory / "settings.json"
        """Where it finds its settings; the password, too."""
        self.trusted = pki.ca
        """The authority that has signed its certificate."""
        self._pki = pki
        self._daemons = daemons

    @property
    def password(self) -> str:
        """The password of USER."""
        return json.loads(self.settings.read_text())["password"]

    def start(self, progress: Progress) -> None:
        """Start it, unless it runs. What was pushed before is still there. Raises ClusterError on an older cluster."""
        if not self._pki.certificate(pki.REGISTRY).exists():
            raise ClusterError("this cluster was made without a registry", remedy="take it down and bring it up anew")
        build.ensure([FAMILY], progress)
        if self._daemons.alive(FAMILY):
            return
        if not self.settings.exists():
            self._directory.mkdir(mode=0o700)
            self.trouble({})
            self.settings.touch(mode=0o600)
            self.settings.write_text(json.dumps(self._new_settings()))
        self._daemons.start(Daemon(FAMILY, [str(build.binary(FAMILY)), str(self.settings)]))
        self._daemons.await_ready(FAMILY, self._answers, timeout=_READY_SECONDS)

    def stop(self) -> None:
        """Stop it: connections are refused until it is started again."""
        self._daemons.stop(FAMILY)

    def trouble(self, troubles: Mapping[str, Trouble]) -> None:
        """From the next request on it has these troubles, and no others."""
        text = json.dumps(
            {
                name: {"status": trouble.status, "bytesPerSecond": trouble.bytes_per_second}
                for name, trouble in troubles.items()
            }
        )
        temporary = self._directory / "troubles.new"
        temporary.write_text(text)
        temporary.rename(self._directory / "troubles.json")

    def docker_config(self, password: str = "") -> str:
        """A `.dockerconfigjson` with the credentials of this registry, or with another password."""
        login = f"{USER}:{password or self.password}"
        return json.dumps({"auths": {AUTHORITY: {"auth": b64encode(login.encode()).decode()}}})

    def push(self, image: Image, repository: str, tag: str = "latest") -> str:
        """Push an image; gives its reference, by digest. By tag it is AUTHORITY/repository:tag.

        Raises ClusterError when the name is none, the registry does not run, or refuses.
        """
        if not _NAME.fullmatch(f"{repository}:{tag}"):
            raise ClusterError(f"{repository}:{tag} is no name of an image", remedy="name it like team/agent:1")
        if not self._daemons.alive(FAMILY):
            raise ClusterError("the registry does not run", remedy="tools/local-cluster registry")
        for blob in image.blobs:
            path = f"/v2/{repository}/blobs"
            if self._ask("HEAD", f"{path}/{blob.digest}")[0] == 200:
                continue
            location = self._expect(202, "POST", f"{path}/uploads/")["location"]
            target = urlsplit(location)
            with blob.open() as content:
                headers = {"Content-Length": str(blob.size), "Content-Type": "application/octet-stream"}
                self._expect(201, "PUT", f"{target.path}?{target.query}&digest={blob.digest}", content, headers)
        headers = {"Content-Type": image.media_type}
        self._expect(201, "PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, headers)
        return f"{AUTHORITY}/{repository}@{image.digest}"

    def _new_settings(self) -> Mapping[str, str]:
        return {
            "address": AUTHORITY,
            "certificate": str(self._pki.certificate(pki.REGISTRY)),
            "key": str(self._pki.key(pki.REGISTRY)),
            "storage": str(self._directory / "storage"),
            "credentials": str(self._directory / "htpasswd"),
            "user": USER,
            "password": secrets.token_urlsafe(18),
            "public": PUBLIC,
            "troubles": str(self._directory / "troubles.json"),
        }

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._ask("GET", "/v2/")[0] == 200
        return False

    def _expect(self, status: int, method: str, path: str, body: Any = None, headers: Any = None) -> Mapping[str, str]:
        found, answered = self._ask(method, path, body, headers)
        if found != status:
            raise ClusterError(f"the registry answers {found} to {method} {path}", log=self._daemons.log(FAMILY))
        return answered

    def _ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str]]:
        """The status, and the headers in lower case."""
        trust = ssl.create_default_context(cafile=str(self._pki.ca))
        login = b64encode(f"{USER}:{self.password}".encode()).decode()
        connection = http.client.HTTPSConnection(
            NODE_ADDRESS, PORT, timeout=_REQUEST_SECONDS, context=trust, blocksize=_PIECE
        )
        try:
            connection.request(method, path, body, {"Authorization": f"Basic {login}", **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
