"""An API server in memory: one namespace, optimistic concurrency, watches, and deletion as pods and claims know it.

`tests/control_plane/crds/test_memory_server.py` compares it with the real one.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.times import rfc3339
from unit.sandbox_operator.faults import merged, patched

NAMESPACE = "here"

WITH_STATUS = frozenset({"sandboxes", "sandboxpools", "sandboximages", "pods"})
"""Resources with the subresource `status`, by plural."""
_GRACE = 30


@dataclass(frozen=True, slots=True)
class Change:
    """One write that changed an object. None: it did not exist, or is gone."""

    version: int
    plural: str
    name: str
    before: KubeObject | None
    after: KubeObject | None
    at: float
    """Time of the event loop."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects of a resource are listed or watched; both forms are comma-separated, with `=` and `!=`."""

    plural: str
    labels: str = ""
    fields: str = ""

    def takes(self, item: KubeObject | None) -> bool:
        """Whether this object is one of them."""
        if item is None:
            return False
        labels: Mapping[str, str] = item["metadata"].get("labels") or {}
        return all(_holds(term, labels.get) for term in _terms(self.labels)) and all(
            _holds(term, partial(_field, item)) for term in _terms(self.fields)
        )


def _terms(text: str) -> list[str]:
    return text.split(",") if text else []


def _holds(term: str, value_of: Callable[[str], str | None]) -> bool:
    name, sign, wanted = term.partition("=")
    if not sign:
        return value_of(name) is not None
    if name.endswith("!"):
        return value_of(name[:-1]) != wanted
    return value_of(name) == wanted


def _field(item: KubeObject, path: str) -> str:
    found: Any = item
    for part in path.split("."):
        found = found.get(part) or {}
    return found or ""


class ApiServer:
    """Objects by plural and name. All methods raise ApiError as the real one answers; `now` is its wall clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._objects: dict[str, dict[str, KubeObject]] = {}
        self.version = 100
        self.changes: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self.has_room = True
        """Whether the quota leaves room for pods."""

    def all(self, plural: str) -> list[KubeObject]:
        """All objects of this resource."""
        return list(self._objects.get(plural, {}).values())

    def find(self, plural: str, name: str) -> KubeObject | None:
        """One object; None if there is none."""
        return self._objects.get(plural, {}).get(name)

    def get(self, plural: str, name: str) -> KubeObject:
        """One object."""
        if found := self.find(plural, name):
            return found
        raise ApiError(404, "NotFound", f'{plural} "{name}" not found')

    def list(self, selector: Selector, at: int = 0) -> list[KubeObject]:
        """The objects that are selected, now or at an earlier version."""
        objects = dict(self._objects.get(selector.plural, {}))
        if at:
            for change in reversed(self.changes):
                if change.version <= at:
                    break
                if change.plural == selector.plural:
                    if change.before is None:
                        del objects[change.name]
                    else:
                        objects[change.name] = change.before
        return [item for item in objects.values() if selector.takes(item)]

    def create(self, plural: str, body: KubeObject) -> KubeObject:
        """POST."""
        metadata = body["metadata"]
        name: str = metadata["name"]
        if plural == "pods" and not self.has_room:
            raise ApiError(403, "Forbidden", f'pods "{name}" is forbidden: exceeded quota: small')
        if self.find(plural, name):
            raise ApiError(409, "AlreadyExists", f'{plural} "{name}" already exists')
        stamp = {
            "uid": f"uid-{next(self._numbers)}",
            "creationTimestamp": rfc3339(self._now()),
            "generation": 1,
            "namespace": NAMESPACE,
        }
        stored = {**body, "metadata": {**metadata, **stamp}}
        if plural in WITH_STATUS:
            stored.pop("status", None)
        if plural == "pods":
            stored["status"] = {"phase": "Pending"}
        return self._store(plural, name, None, stored)

    def patch(self, plural: str, name: str, body: Mapping[str, Any], subresource: str = "") -> KubeObject:
        """JSON merge patch."""
        found = self.get(plural, name)
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != found["metadata"]["resourceVersion"]:
            raise _conflict(plural, name, "the object has been modified")
        parts = {"status"} if subresource else body.keys() - ({"status"} if plural in WITH_STATUS else set())
        return self._change(plural, name, merged(found, {part: body[part] for part in body if part in parts}))

    def json_patch(self, plural: str, name: str, operations: Sequence[Mapping[str, Any]]) -> KubeObject:
        """JSON patch."""
        return self._change(plural, name, patched(self.get(plural, name), operations))

    def delete(
        self, plural: str, name: str, preconditions: Mapping[str, str] | None = None, grace: int | None = None
    ) -> None:
        """DELETE. A pod on a node ends within its grace period; a claim goes when no pod uses it."""
        metadata = self.get(plural, name)["metadata"]
        for field, wanted in (preconditions or {}).items():
            if metadata[field] != wanted:
                raise _conflict(plural, name, f"the {field} differs")
        item = self.get(plural, name)
        if plural == "pods" and item["spec"].get("nodeName") and grace != 0:
            self._request_end(plural, item, _GRACE if grace is None else grace)
        elif plural == "persistentvolumeclaims" and self.is_used(name):
            self._request_end(plural, item, 0)
        else:
            if plural == "pods" and grace != 0:
                # Its grace period is 0 then, which is written first.
                self._request_end(plural, item, 0)
            self._store(plural, name, self.get(plural, name), None)

    def is_used(self, claim: str) -> bool:
        """Whether a pod uses this volume claim."""
        return any(
            volume.get("persistentVolumeClaim", {}).get("claimName") == claim
            for pod in self.all("pods")
            for volume in pod["spec"].get("volumes", ())
        )

    def _request_end(self, plural: str, item: KubeObject, grace: int) -> None:
        if "deletionTimestamp" not in item["metadata"]:
            due = rfc3339(self._now() + timedelta(seconds=grace))
            mark = {"deletionTimestamp": due, "deletionGracePeriodSeconds": grace}
            self._change(plural, item["metadata"]["name"], {**item, "metadata": {**item["metadata"], **mark}})

    def _change(self, plural: str, name: str, after: KubeObject) -> KubeObject:
        before = self.get(plural, name)
        kept = {field: before["metadata"].get(field) for field in ("uid", "resourceVersion", "generation")}
        after = {**after, "metadata": {**after["metadata"], **kept}}
        if after == before:
            return before
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        return self._store(plural, name, before, after)

    def _store(self, plural: str, name: str, before: KubeObject | None, after: KubeObject | None) -> KubeObject:
        self.version += 1
        at = asyncio.get_running_loop().time()
        objects = self._objects.setdefault(plural, {})
        if after is None:
            assert before
            del objects[name]
            # The event of a deletion has the object as it was last, with the version of the deletion.
            shown = {**before, "metadata": {**before["metadata"], "resourceVersion": str(self.version)}}
            change = Change(self.version, plural, name, before, None, at)
        else:
            shown = objects[name] = {
                **after,
                "metadata": {**after["metadata"], "resourceVersion": str(self.version)},
            }
            change = Change(self.version, plural, name, before, shown, at)
        self.changes.append(change)
        for listener in self.listeners:
            listener(change)
        return shown


def _conflict(plural: str, name: str, why: str) -> ApiError:
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": {why}')
