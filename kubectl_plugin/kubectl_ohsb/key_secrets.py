"""The Secrets of API keys in one namespace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from kubectl_ohsb.errors import Refusal
from sandbox_common.api_keys import ApiKey, decode, encode
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.api import API_KEY_LABEL, MANAGED_BY_LABEL

_ENTRIES = ("sha256", "owner", "policy", "expires", "previousSha256", "previousExpires")
_TRIES = 2


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One Secret with the label of keys. `key` is None when it cannot be read; then `error` says why."""

    name: str
    uid: str
    version: str
    created: str
    release: str
    key: ApiKey | None
    error: str = ""

    @classmethod
    def of(cls, secret: KubeObject) -> "StoredKey":
        """Read a Secret. `release` becomes the Helm release that it belongs to, or ""."""
        metadata: dict[str, Any] = secret["metadata"]
        labels: dict[str, str] = metadata.get("labels", {})
        annotations: dict[str, str] = metadata.get("annotations", {})
        by_helm = labels.get(MANAGED_BY_LABEL) == "Helm"
        release = annotations.get("meta.helm.sh/release-name", "") if by_helm else ""
        try:
            key, error = decode(secret), ""
        except ValueError as refusal:
            key, error = None, str(refusal)
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            created=metadata["creationTimestamp"],
            release=release,
            key=key,
            error=error,
        )

    def readable(self) -> ApiKey:
        """The key. Raises Refusal."""
        if self.key is None:
            raise Refusal(
                f"the Secret of {self.name} cannot be read, so the gateway refuses the key: {self.error}; "
                "or make another key, and revoke this one"
            )
        return self.key


class KeySecrets:
    """Reads and writes the Secrets. All methods may also raise ApiError."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def all(self) -> list[StoredKey]:
        """All keys, by name."""
        pages = self._client.pages(SECRETS, self._namespace, labelSelector=f"{API_KEY_LABEL}=true")
        found = [StoredKey.of(item) async for page in pages for item in page["items"]]
        return sorted(found, key=lambda stored: stored.name)

    async def get(self, name: str) -> StoredKey:
        """One key. Raises Refusal when there is none; other Secrets are neither shown nor changed."""
        secret = await self._client.find(SECRETS, self._namespace, name)
        if secret is None:
            raise Refusal(
                f"there is no API key {name} in namespace {self._namespace}; list them: kubectl ohsb keys list "
                f"--namespace {self._namespace}"
            )
        if secret["metadata"].get("labels", {}).get(API_KEY_LABEL) != "true":
            raise Refusal(f"the Secret {name} is no API key: it has no label {API_KEY_LABEL}=true")
        return StoredKey.of(secret)

    async def create(self, key: ApiKey) -> StoredKey:
        """Raises Refusal when the name is taken."""
        labels = {API_KEY_LABEL: "true", MANAGED_BY_LABEL: "kubectl-ohsb"}
        body = {"metadata": {"name": key.name, "labels": labels}, "type": "Opaque", "data": encode(key)}
        try:
            return StoredKey.of(await self._client.create(SECRETS, self._namespace, body))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            if error.uncertain:
                found = await self._client.get(SECRETS, self._namespace, key.name)
                # Only this call has the new key, so an earlier attempt made it, and its answer was lost.
                if found.get("data") == body["data"]:
                    return StoredKey.of(found)
            raise Refusal(
                f"there is a Secret {key.name} in namespace {self._namespace} already: choose another name, or, if it "
                f"is the key that you mean: kubectl ohsb keys rotate {key.name} --namespace {self._namespace}"
            ) from None

    async def change(self, name: str, change: Callable[[ApiKey], ApiKey]) -> StoredKey:
        """Write the result of `change` for the present key; again when somebody else was faster.

        Raises Refusal, and the errors of `change`.
        """
        for _ in range(_TRIES):
            found = await self.get(name)
            key = found.readable()
            if found.release:
                raise Refusal(
                    f"{name} belongs to the Helm release {found.release}, whose next upgrade would undo this: change "
                    "the chart's values apiKey, or make a key of your own with kubectl ohsb keys create"
                )
            data = dict.fromkeys(_ENTRIES, None) | encode(change(key))
            body = {"metadata": {"resourceVersion": found.version}, "data": data}
            try:
                return StoredKey.of(await self._client.patch(SECRETS, self._namespace, name, body))
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
        raise Refusal(f"somebody else changes {name} at the same time: see what it is now, and try again")

    async def delete(self, stored: StoredKey) -> None:
        """Delete the Secret that was seen, even if it has changed since."""
        await self._client.delete(SECRETS, self._namespace, stored.name, uid=stored.uid)

    async def sandboxes(self, owner: str) -> list[str] | None:
        """Names of the owner's sandboxes; None when they cannot be listed. The command continues without them."""
        try:
            return [
                item["metadata"]["name"]
                async for page in self._client.pages(SANDBOXES, self._namespace)
                for item in page["items"]
                if item["spec"].get("owner") == owner
            ]
        except (ApiError, TimeoutError, aiohttp.ClientError):
            return None
