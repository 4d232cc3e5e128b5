"""Reads and writes SandboxUsages."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox_common import times
from sandbox_common.kube import KubeClient, KubeObject, unreadable
from sandbox_common.kube.resources import SANDBOX_USAGES
from sandbox_common.usage import Days, newest, seconds, total
from sandbox_crds.models import SandboxUsage
from sandbox_crds.names import usage_name


@dataclass(frozen=True, slots=True)
class Head:
    """Of a record: whose it is, until when it is whole (in seconds since 1970), and its last day."""

    owner: str
    through: int
    newest: str


class UsageApi:
    """The records of one namespace. All methods raise what KubeClient raises."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def heads(self) -> AsyncGenerator[Head]:
        """Of all records. Unreadable ones are omitted."""
        async for page in self._client.pages(SANDBOX_USAGES, self._namespace):
            for head in unreadable.decoded(SANDBOX_USAGES, page["items"], _head):
                yield head

    async def find(self, owner: str) -> SandboxUsage | None:
        """The record of this owner. Raises ValueError if it is malformed."""
        found = await self._client.find(SANDBOX_USAGES, self._namespace, usage_name(owner))
        return SandboxUsage.model_validate(found) if found else None

    async def create(self, owner: str, days: Days, through: int) -> None:
        """Make the record of an owner (else ApiError 409: there is one)."""
        body: KubeObject = {
            "apiVersion": SANDBOX_USAGES.api_version,
            "kind": SANDBOX_USAGES.kind,
            "metadata": {"name": usage_name(owner)},
            "spec": {"owner": owner},
            "status": _status({}, days, through),
        }
        await self._client.create(SANDBOX_USAGES, self._namespace, body)

    async def write(self, item: SandboxUsage, days: Days, through: int) -> None:
        """Write the new days if the record has not changed (else ApiError 409)."""
        body = {
            "metadata": {"resourceVersion": item.metadata.resource_version},
            "status": _status(item.status.days, days, through),
        }
        await self._client.patch(SANDBOX_USAGES, self._namespace, item.metadata.name, body)

    async def delete(self, item: SandboxUsage) -> None:
        """Delete the record if it has not changed (else ApiError 409)."""
        metadata = item.metadata
        await self._client.delete(
            SANDBOX_USAGES, self._namespace, metadata.name, uid=metadata.uid, resource_version=metadata.resource_version
        )


def _status(before: Days, days: Days, through: int) -> dict[str, Any]:
    """The merge patch from one state of the days to the next."""
    changed: dict[str, Any] = dict.fromkeys(before.keys() - days.keys())
    for day, classes in days.items():
        if classes != before.get(day):
            changed[day] = {name: amounts.model_dump(by_alias=True) for name, amounts in classes.items()}
    return {
        "through": times.rfc3339(datetime.fromtimestamp(through, UTC)),
        "total": total(days).model_dump(by_alias=True),
        "days": changed,
    }


@unreadable.malformed("a record of usage")
def _head(item: KubeObject) -> Head:
    status: dict[str, Any] = item.get("status") or {}
    through: str = status.get("through", "")
    days: dict[str, Any] = status.get("days", {})
    return Head(item["spec"]["owner"], seconds(through) if through else 0, newest(days))
