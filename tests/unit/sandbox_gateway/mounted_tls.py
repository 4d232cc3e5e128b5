"""A Secret of type kubernetes.io/tls as the kubelet mounts it: links into the directory that the link `..data` has."""

import ssl
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from local_cluster.pki import Identity, Pki

_SERIALS = count()


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> bool:
    """Whether the client takes what the server shows for this host, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
    return True


@dataclass(frozen=True)
class Pair:
    """PEM texts: a certificate for 127.0.0.1 and localhost, its key, and the authority to trust."""

    certificate: bytes
    key: bytes
    authority: str

    @classmethod
    def make(cls, scratch: Path) -> "Pair":
        """A new one with an authority of its own; files are left in `scratch`."""
        pki = Pki(scratch / f"pki-{next(_SERIALS)}")
        pki.create([Identity("gateway", "gateway", hosts=("127.0.0.1", "localhost"))])
        certificate, key = pki.certificate("gateway").read_bytes(), pki.key("gateway").read_bytes()
        return cls(certificate, key, pki.ca.read_text())

    def trusted(self) -> ssl.SSLContext:
        """A client that takes this certificate and no other."""
        return ssl.create_default_context(cadata=self.authority)


class MountedSecret:
    """The directory `path`, which has no entries until the first `store`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def store(self, certificate: bytes, key: bytes) -> None:
        """Both at once, by a rename of `..data`; what they were before is gone."""
        fresh = self.path / f"..{next(_SERIALS)}"
        fresh.mkdir()
        (fresh / "tls.crt").write_bytes(certificate)
        (fresh / "tls.key").write_bytes(key)
        data, temporary = self.path / "..data", self.path / "..data_tmp"
        old = data.resolve() if data.exists() else None
        temporary.symlink_to(fresh.name)
        temporary.rename(data)
        for name in ("tls.crt", "tls.key"):
            if old is None:
                (self.path / name).symlink_to(f"..data/{name}")
            else:
                (old / name).unlink()
        if old is not None:
            old.rmdir()
