"""API keys of the gateway: labelled Secrets that hold a key's SHA-256 and the name of its owner."""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field

from sandbox_crds.api import API_KEY_LABEL
from sandbox_crds.keys import api_key_hash
from sandbox_crds.kube import Informer, KubeClient, KubeObject
from sandbox_crds.kube.resources import SECRETS

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OWNER = re.compile(r"[!-~]([ -~]{0,251}[!-~])?")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key that opens the Runtime API."""

    owner: str
    sha256: str = field(repr=False)


def decode(secret: KubeObject) -> ApiKey:
    """Read `data.sha256` (64 hex digits) and `data.owner` (1 to 253 printable ASCII characters).

    Raises ValueError, whose text tells nothing of the values.
    """
    sha256 = _entry(secret, "sha256").lower()
    owner = _entry(secret, "owner")
    if not _SHA256.fullmatch(sha256):
        raise ValueError("data.sha256 is not a SHA-256 in 64 hex digits: store the digest of the key there")
    if not _OWNER.fullmatch(owner):
        raise ValueError("data.owner is not 1 to 253 printable ASCII characters: store a name for the key there")
    return ApiKey(owner, sha256)


class ApiKeys:
    """The keys in force; changes take effect as the informer sees them."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._informer = Informer(client, SECRETS, namespace, decode, label_selector=f"{API_KEY_LABEL}=true")

    @property
    def synced(self) -> bool:
        """Whether the first list has been read."""
        return self._informer.synced

    async def wait_synced(self) -> None:
        """Return once the first list has been read."""
        await self._informer.wait_synced()

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        await self._informer.run()

    def owner_of(self, api_key: str) -> str | None:
        """The owner of this key, or None when it is not one. Takes the same time for all keys."""
        digest = api_key_hash(api_key)
        owner = None
        for known in self._informer:
            if hmac.compare_digest(known.sha256, digest):
                owner = known.owner
        return owner


def _entry(secret: KubeObject, name: str) -> str:
    data: dict[str, str] = secret.get("data") or {}
    value = data.get(name)
    if not value:
        raise ValueError(f"data.{name} is missing")
    try:
        return base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"data.{name} is not text") from None
