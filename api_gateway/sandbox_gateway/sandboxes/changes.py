"""What a /start asks for, as fields of a Sandbox's spec, and how it differs from the existing Sandbox. Pure.

`FIELDS` is the only list of the fields that a client may choose and change later. They take effect when a pod is made.
Only the field that says how long the client waits takes effect at once, since it does not concern the pod.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox_crds.models import SandboxClassSpec, SandboxSpec
from sandbox_gateway.contract.requests import StartRequest


@dataclass(frozen=True, slots=True)
class StartField:
    """One field of a Sandbox's spec, and how it is made from fields of /start.

    None stands for the class's value.
    """

    attribute: str
    names: tuple[str, ...]
    of: Callable[[StartRequest], Any]

    @property
    def wire(self) -> str:
        """The field's name in the API server."""
        return SandboxSpec.model_fields[self.attribute].alias or self.attribute


PENDING_TIMEOUT = "pending_timeout_seconds"

# Kubernetes would expand $(NAME) in a command; `$$` is its way to write a plain `$`.
FIELDS = (
    StartField("image", ("image",), lambda request: request.image),
    StartField("command", ("command",), lambda request: [word.replace("$", "$$") for word in request.command]),
    StartField("working_dir", ("working_dir",), lambda request: request.working_dir),
    StartField("resource_factor", ("resource_factor",), lambda request: request.resource_factor),
    StartField("run_as_user", ("run_as_user",), lambda request: request.run_as_user),
    StartField("run_as_group", ("run_as_group", "fs_group"), lambda request: request.group),
    StartField("fs_group", ("fs_group",), lambda request: request.fs_group),
    StartField("runtime_class_name", ("runtime_class",), lambda request: request.runtime_class),
    StartField("image_pull_policy", ("image_pull_policy",), lambda request: request.image_pull_policy),
    StartField("idle_timeout_seconds", ("idle_timeout_seconds",), lambda request: request.idle_timeout_seconds),
    StartField("pending_timeout_seconds", (PENDING_TIMEOUT,), lambda request: request.pending_timeout_seconds),
)

_PATIENCE = "pendingTimeoutSeconds"
ENVIRONMENT = "environment"
CLASS = "sandbox_class"


@dataclass(frozen=True, slots=True)
class Changes:
    """How a request differs from a Sandbox. `spec` has the fields of a merge patch, `names` those of /start."""

    spec: Mapping[str, Any]
    names: tuple[str, ...]

    @property
    def of_pod(self) -> tuple[str, ...]:
        """The names of the fields that take effect when a pod is made."""
        return tuple(name for name in self.names if name != PENDING_TIMEOUT)

    def also(self, name: str, spec: Mapping[str, Any]) -> "Changes":
        """These changes and one more."""
        return Changes({**self.spec, **spec}, (*self.names, name))


def at_once(wanted: Changes) -> dict[str, Any]:
    """Spec fields that also take effect with the existing pod."""
    return {name: value for name, value in wanted.spec.items() if name == _PATIENCE}


def requested(request: StartRequest) -> dict[str, Any]:
    """Spec fields of a new Sandbox, without those for which the class's value is used."""
    return {field.wire: value for field in FIELDS if (value := field.of(request)) is not None}


def changes(request: StartRequest, spec: SandboxSpec, *, whole: bool) -> Changes:
    """How the request differs from the spec, without environment and class.

    `whole`: compare with a new start, where a field that the request omits has its default. Otherwise an omitted field
    stays as it is.
    """
    found = [(field, value) for field, value in _different(request, spec) if whole or _named(field, request)]
    names = dict.fromkeys(_named(field, request) or field.names[0] for field, _ in found)
    return Changes({field.wire: value for field, value in found}, tuple(names))


def names_environment(request: StartRequest) -> bool:
    """Whether the request names an environment. If not, an existing sandbox keeps its own."""
    return ENVIRONMENT in request.model_fields_set


def can_change_class(present: SandboxClassSpec | None, wanted: SandboxClassSpec | None, *, launched: bool) -> bool:
    """Whether a sandbox may get another class. It may not if that would hide or lose its workspace.

    None is a class that does not exist. `launched`: the sandbox has had a pod.
    """
    if not launched:
        return True
    if present is None or wanted is None:
        return False
    return present.workspace.persistent == wanted.workspace.persistent


def _different(request: StartRequest, spec: SandboxSpec) -> Iterator[tuple[StartField, Any]]:
    values = ((field, field.of(request)) for field in FIELDS)
    return ((field, value) for field, value in values if value != getattr(spec, field.attribute))


def _named(field: StartField, request: StartRequest) -> str:
    """The field of the request that names it; "" when none does."""
    return next((name for name in field.names if name in request.model_fields_set), "")
