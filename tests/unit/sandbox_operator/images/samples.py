"""Lists of images and their pods to decide about."""

from dataclasses import replace
from typing import Any

from sandbox_crds.models import SandboxImages
from sandbox_operator.images.keepers import Keeper, State
from unit.sandbox_operator.samples import NOW

LIST_UID = "6a1f0000-0000-4000-8000-0000000000bb"
NODE = "node-1"


def image(number: int) -> str:
    """An image in its full form."""
    return f"registry.example/task:{number}"


def images(count: int) -> list[str]:
    """The first ones."""
    return [image(number) for number in range(1, count + 1)]


def listed(*texts: str, status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> SandboxImages:
    """The SandboxImages `tasks`."""
    metadata = {
        "name": "tasks",
        "namespace": "here",
        "uid": LIST_UID,
        "generation": generation,
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-23T12:00:00Z",
    }
    body = {"metadata": metadata, "spec": {"images": [*texts], **spec}, "status": status or {}}
    return SandboxImages.model_validate(body)


def keeper(*held: str, state: State = State.READY, name: str = "", **fields: Any) -> Keeper:
    """A pod on the node for these images."""
    name = name or f"tasks-{'-'.join(each.rpartition(':')[2] for each in held)}"
    since = NOW if state is State.READY else None
    made = Keeper(name, f"uid-of-{name}", LIST_UID, "tasks", NODE, held, NOW, state, since, resource_version="1")
    return replace(made, **fields)
