"""Objects that cannot be read, or acted on: each harms nothing but itself, and is logged and counted."""

from collections.abc import Callable, Iterable, Iterator

import structlog
from prometheus_client import Counter

from sandbox_common.kube.client import KubeObject
from sandbox_common.kube.resources import Resource

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_UNREADABLE = Counter(
    "openhands_sandbox_unreadable_objects",
    "States of objects in the Kubernetes API that could not be read and were left out; the log names them.",
    ["resource"],
)


def report(resource: Resource, name: str, error: Exception) -> None:
    """This object could not be read."""
    _UNREADABLE.labels(resource.plural).inc()
    _log.error("object cannot be read", resource=resource.plural, name=name, error=f"{type(error).__name__}: {error}")


def decoded[T](resource: Resource, items: Iterable[KubeObject], decode: Callable[[KubeObject], T]) -> Iterator[T]:
    """What `decode` makes of these objects, but for those that it fails on."""
    for item in items:
        try:
            found = decode(item)
        except Exception as error:
            report(resource, str(item.get("metadata", {}).get("name")), error)
        else:
            yield found
