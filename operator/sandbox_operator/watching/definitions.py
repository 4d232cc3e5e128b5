"""The installed CustomResourceDefinitions, compared with what this operator reads and writes.

Definitions belong to the whole cluster: another release's chart may replace them, and Helm does not upgrade them.
Kubernetes silently drops fields that they lack. Reading definitions needs rights that the operator does not have, but
the API server publishes their schemas to all users in its OpenAPI document.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import structlog
from pydantic import BaseModel

from sandbox_common.kube import FAILURES, KubeClient, Resource
from sandbox_crds.api import GROUP, VERSION
from sandbox_crds.manifests import Schema, schemas
from sandbox_operator.watching.pace import pause

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

REMEDY = (
    "Apply the CustomResourceDefinitions of this release: "
    "kubectl apply --server-side --force-conflicts --field-manager=helm -f helm/openhands-sandbox/crds/"
)
_OPEN = "x-kubernetes-preserve-unknown-fields"
_PERIOD_SECONDS = 60.0
_LACKING_SECONDS = 5.0
"""Shorter while fields are missing, because somebody may be about to apply the new definitions."""


_wanted = cache(schemas)


class _Document(Resource):
    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        return f"/openapi/v3/apis/{self.group}/{self.version}"


_DOCUMENT = _Document(GROUP, VERSION, "", "")


class Definitions:
    """The installed definitions. Nothing counts as missing until they are known."""

    def __init__(self) -> None:
        self._installed: dict[str, Schema] = {}
        self._asked = asyncio.Event()
        self.missing: tuple[str, ...] = ()
        """Paths of the fields that the installed definitions lack, such as `SandboxClass.spec.egress`."""

    def look(self, document: Mapping[str, Any]) -> bool:
        """Take the API server's OpenAPI document. Returns whether a definition has changed."""
        installed = dict(_schemas(document))
        changed = installed != self._installed
        self._installed = installed
        self.missing = tuple(
            path
            for kind, schema in _wanted().items()
            if kind in installed
            for path in missing(schema, installed[kind], kind)
        )
        return changed

    def kept(self, kind: str, status: BaseModel, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The merge patch without fields that would not be stored, so that they are not written again and again."""
        schema = self._installed.get(kind, {}).get("properties", {}).get("status")
        if schema is None:
            return dict(changes)
        now = pruned(status.model_dump(by_alias=True), schema)
        left = cast("dict[str, Any]", pruned(dict(changes), schema))
        return {name: value for name, value in left.items() if _merged(now.get(name), value) != now.get(name)}

    async def follow(self, client: KubeClient, on_change: Callable[[], None]) -> None:
        """Look from time to time, until cancelled. `on_change` is called when a definition has changed."""
        known: tuple[str, ...] = ()
        first = True
        while True:
            try:
                if self.look(await client.list(_DOCUMENT, "")) and not first:
                    on_change()
                first = False
                if self.missing and self.missing != known:
                    _log.error("definitions are old", missing=list(self.missing), remedy=REMEDY)
                elif known and not self.missing:
                    _log.info("definitions are complete")
                known = self.missing
            except (*FAILURES, ValueError, KeyError) as error:
                _log.warning("definitions cannot be read", error=str(error) or type(error).__name__)
            await pause(_LACKING_SECONDS if self.missing else _PERIOD_SECONDS, self._asked)

    def written(self, changes: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Look again soon if the answer to a write lacks written fields."""
        stored: Mapping[str, Any] = answer.get("status") or {}
        if any(value is not None and name not in stored for name, value in changes.items()):
            self._asked.set()


def missing(wanted: Schema, installed: Schema, path: str) -> Iterator[str]:
    """Paths of the fields in `wanted` that `installed` lacks."""
    if installed.get(_OPEN):
        return
    present = installed.get("properties", {})
    for name, part in wanted.get("properties", {}).items():
        if name in {"apiVersion", "kind", "metadata"}:
            continue
        if name in present:
            yield from missing(part, present[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    for inner in ("items", "additionalProperties"):
        if isinstance(wanted.get(inner), dict) and isinstance(installed.get(inner), dict):
            yield from missing(wanted[inner], installed[inner], path)


def pruned(value: Any, schema: Schema) -> Any:
    """The value without fields that this schema drops."""
    if isinstance(value, list) and "items" in schema:
        return [pruned(item, schema["items"]) for item in cast("list[Any]", value)]
    if not isinstance(value, dict) or schema.get(_OPEN):
        return cast("Any", value)
    fields = cast("dict[str, Any]", value)
    if isinstance(every := schema.get("additionalProperties"), dict):
        return {name: pruned(part, cast("Schema", every)) for name, part in fields.items()}
    if "properties" not in schema:
        return fields
    known = schema["properties"]
    return {name: pruned(part, known[name]) for name, part in fields.items() if name in known}


def _merged(value: Any, change: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(change, dict):
        return change
    both = {**cast("dict[str, Any]", value), **cast("dict[str, Any]", change)}
    return {name: part for name, part in both.items() if part is not None}


def _schemas(document: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    for schema in document["components"]["schemas"].values():
        for of in schema.get("x-kubernetes-group-version-kind", ()):
            if (of["group"], of["version"]) == (GROUP, VERSION) and not of["kind"].endswith("List"):
                yield of["kind"], schema
