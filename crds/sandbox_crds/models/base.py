"""What all models share: camelCase names in JSON, and markers for the CRD generator."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from sandbox_crds.api import GROUP

_SHARED_CHARACTERS = 256


@lru_cache(maxsize=4096)
def _kept(text: str) -> str:
    return text


def _shared(text: str) -> str:
    return _kept(text) if len(text) <= _SHARED_CHARACTERS else text


def _own(annotations: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in annotations.items() if name.startswith(f"{GROUP}/")}


Shared = Annotated[str, AfterValidator(_shared)]
"""Text that many objects share; short texts are in memory only once. `sys.intern` would keep them for the life of the
process (Python 3.12)."""

_UNTRACKED: set[str] = set()


class Model(BaseModel):
    """A part of a custom resource. Unknown fields are ignored, because a newer version may have written them.

    `model_fields_set` is always empty: it would take half the memory of a Sandbox.
    """

    # Errors must not contain values: they are logged, and an `env` may contain a secret.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    def model_post_init(self, context: Any, /) -> None:
        object.__setattr__(self, "__pydantic_fields_set__", _UNTRACKED)


class Metadata(Model):
    """The fields of `ObjectMeta` that the project reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: Sequence[str] = ()
    annotations: Annotated[Mapping[str, str], AfterValidator(_own)] = {}
    """Only the project's own annotations. Others may have 256 KiB and are not kept."""


def rules(*entries: tuple[str, str]) -> dict[str, Any]:
    """JSON-schema extra for CEL rules, each a pair of an expression and the message of a refusal.

    Each rule has a cost at every write of the object, including its status: use few rules, on fields. A rule with
    `oldSelf.hasValue()` is also evaluated at creation (Kubernetes: `optionalOldSelf`).
    """
    return {"x-kubernetes-validations": [_rule(*entry) for entry in entries]}


def _rule(rule: str, message: str) -> dict[str, Any]:
    optional = {"optionalOldSelf": True} if "oldSelf.hasValue()" in rule else {}
    return {"rule": rule, "message": message, **optional}


PRESERVE_UNKNOWN: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
