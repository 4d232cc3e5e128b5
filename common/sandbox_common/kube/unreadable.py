"""Objects that cannot be decoded or processed are logged and counted, and harm no other object."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps

import structlog
from prometheus_client import Counter

from sandbox_common.kube.client import KubeObject
from sandbox_common.kube.resources import Resource

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_UNREADABLE = Counter(
    "openhands_sandbox_unreadable_objects",
    "Unreadable states of objects in the Kubernetes API, which were omitted; the log names them.",
    ["resource"],
)


def malformed[T](kind: str) -> Callable[[Callable[[KubeObject], T]], Callable[[KubeObject], T]]:
    """Decorates a function that decodes objects of this kind: it raises ValueError if an object is malformed."""

    def decorated(decode: Callable[[KubeObject], T]) -> Callable[[KubeObject], T]:
        @wraps(decode)
        def checked(item: KubeObject) -> T:
            try:
                return decode(item)
            except (LookupError, TypeError, AttributeError, OverflowError) as error:
                raise ValueError(f"not {kind}: {error!r}") from error

        return checked

    return decorated


def report(resource: Resource, name: str, error: Exception) -> None:
    """Log and count an object that could not be read."""
    _UNREADABLE.labels(resource.plural).inc()
    _log.error("object cannot be read", resource=resource.plural, name=name, error=f"{type(error).__name__}: {error}")


def decoded[T](resource: Resource, items: Iterable[KubeObject], decode: Callable[[KubeObject], T]) -> Iterator[T]:
    """The decoded objects, without those for which `decode` fails."""
    for item in items:
        try:
            found = decode(item)
        except Exception as error:
            report(resource, str(item.get("metadata", {}).get("name")), error)
        else:
            yield found
