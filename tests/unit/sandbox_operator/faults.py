"""An API server that fails on demand: objects in a dict, and answers that are prepared."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource

type Key = tuple[str, str]

ALREADY_EXISTS = ApiError(409, "AlreadyExists", "it is there")


def patched(body: KubeObject, operations: Sequence[Mapping[str, Any]]) -> KubeObject:
    """The object after a JSON patch (RFC 6902). As for the API server, a missing field is null in a test."""
    after = deepcopy(body)
    for operation in operations:
        *path, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
        parent: Any = after
        for part in path:
            parent = parent[int(part) if part.isdigit() else part]
        if operation["op"] != "test":
            parent[last] = operation["value"]
        elif parent.get(last) != operation["value"]:
            raise ApiError(422, "Invalid", "the test failed")
    return after


def merged(value: Any, change: Any) -> Any:
    """As a JSON merge patch (RFC 7386) does."""
    if not isinstance(change, Mapping):
        return change
    before = cast(Mapping[str, Any], value if isinstance(value, Mapping) else {})
    after = {
        **before,
        **{name: merged(before.get(name), part) for name, part in cast(Mapping[str, Any], change).items()},
    }
    return {name: part for name, part in after.items() if part is not None}


class Server:
    """Stands in for KubeClient. `fail["create pods"]` is raised instead of the answer, once for each entry."""

    def __init__(self) -> None:
        self.objects: dict[Key, KubeObject] = {}
        self.fail: dict[str, list[Exception]] = {}
        self.seen: list[str] = []
        self.queries: list[Mapping[str, str]] = []
        self._uids = 0

    @property
    def client(self) -> KubeClient:
        return cast(KubeClient, self)

    async def create(self, resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        self._answer("create", resource)
        key = (resource.plural, body["metadata"]["name"])
        if key in self.objects:
            raise ALREADY_EXISTS
        self._uids += 1
        stamp = {"uid": f"uid-{self._uids}", "creationTimestamp": "2026-11-23T12:00:00Z", "resourceVersion": "1"}
        self.objects[key] = {**body, "metadata": {**body["metadata"], **stamp}}
        return self.objects[key]

    async def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        self._answer("get", resource)
        return self._find(resource, name)

    find = KubeClient.find

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        self._answer("patch", resource)
        found = self._find(resource, name)
        version = int(found["metadata"]["resourceVersion"])
        if body["metadata"]["resourceVersion"] != str(version):
            raise ApiError(409, "Conflict", "the object has been modified")
        changes = {part: merged(found.get(part), change) for part, change in body.items() if part != "metadata"}
        metadata: KubeObject = merged(found["metadata"], body["metadata"]) | {"resourceVersion": str(version + 1)}
        if "spec" in changes:
            metadata["generation"] += 1
        stored = {**found, **changes, "metadata": metadata}
        self.objects[resource.plural, name] = stored
        return stored

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> KubeObject:
        self._answer("claim", resource)
        found = patched(self._find(resource, name), operations)
        version = str(int(found["metadata"]["resourceVersion"]) + 1)
        stored = {**found, "metadata": {**found["metadata"], "resourceVersion": version}}
        self.objects[resource.plural, name] = stored
        return stored

    async def list(self, resource: Resource, namespace: str, **query: str) -> KubeObject:
        self._answer("list", resource)
        self.queries.append(query)
        return {
            "metadata": {},
            "items": [body for (plural, _), body in self.objects.items() if plural == resource.plural],
        }

    pages = KubeClient.pages

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        self._answer("delete", resource)
        metadata = self._find(resource, name)["metadata"]
        if metadata["uid"] != uid:
            raise ApiError(409, "Conflict", "the UID differs")
        if resource_version and metadata["resourceVersion"] != resource_version:
            raise ApiError(409, "Conflict", "the object has been modified")
        if resource.plural != "pods" or grace_seconds == 0:
            del self.objects[resource.plural, name]

    def _find(self, resource: Resource, name: str) -> KubeObject:
        found = self.objects.get((resource.plural, name))
        if found is None:
            raise ApiError(404, "NotFound", f"{name} not found")
        return found

    def _answer(self, verb: str, resource: Resource) -> None:
        what = f"{verb} {resource.plural}"
        self.seen.append(what)
        if prepared := self.fail.get(what):
            raise prepared.pop(0)
