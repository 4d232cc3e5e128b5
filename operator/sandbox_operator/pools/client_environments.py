"""The environments that clients sent, read from the Secrets that the gateway made."""

import asyncio
import base64
import binascii

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name

_PAUSES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 1.0)
"""Seconds between two reads of a Secret: the gateway makes it right after the Sandbox."""


class EnvironmentMissingError(Exception):
    """The Secret is missing, or does not have the environment that the Sandbox was made with."""


class ClientEnvironments:
    """Reads the Secrets of one namespace, and keeps nothing of them."""

    def __init__(self, client: KubeClient, namespace: str, keys: MasterKeys) -> None:
        self._client = client
        self._namespace = namespace
        self._keys = keys

    async def of(self, sandbox: Sandbox) -> dict[str, str]:
        """The environment of this sandbox. Waits up to 2 s for its Secret; makes no request if there is none.

        Raises EnvironmentMissingError, ApiError, TimeoutError and aiohttp.ClientError.
        """
        wanted = sandbox.spec.environment_hash
        if not wanted:
            return {}
        name = environment_secret_name(sandbox.metadata.name, sandbox.metadata.uid, sandbox.spec.environment_revision)
        for pause in (*_PAUSES, 0.0):
            found = await self._read(name)
            if found is not None:
                break
            await asyncio.sleep(pause)
        else:
            raise EnvironmentMissingError(f"there is no Secret {name}")
        if not self._keys.is_environment_hash(wanted, found):
            raise EnvironmentMissingError(f"the Secret {name} does not hold what the Sandbox was made with")
        return found

    async def _read(self, name: str) -> dict[str, str] | None:
        secret = await self._client.find(SECRETS, self._namespace, name)
        if secret is None:
            return None
        data: dict[str, str] = secret.get("data") or {}
        try:
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        except (binascii.Error, UnicodeDecodeError):
            return {}
