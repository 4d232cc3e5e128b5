"""The keys of a sandbox, from the Secret of its pod."""

import base64
import binascii
from collections.abc import Mapping

from kubectl_ohsb.sandboxes.store import Store
from sandbox_common.environment import SECRET_KEY, SESSION_KEY
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SECRETS


async def keys_of(store: Store, pod: str) -> Mapping[str, str]:
    """Keys by their entry in the Secret; empty without a Secret. Raises ApiError."""
    secret = await store.client.find(SECRETS, store.namespace, pod)
    return keys_in(secret) if secret else {}


def keys_in(secret: KubeObject) -> Mapping[str, str]:
    """Those of a Secret that can be read."""
    data: dict[str, str] = secret.get("data") or {}
    found: dict[str, str] = {}
    for entry in (SESSION_KEY, SECRET_KEY):
        try:
            found[entry] = base64.b64decode(data.get(entry, ""), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return {entry: key for entry, key in found.items() if key}
