"""Bodies of the Runtime API, with the field names of the clients.

Sources: openhands_workspace 1.58.2 (`APIRemoteWorkspace`), openhands_ai 1.11.0 (`remote_sandbox_service`), and
`RemoteRuntime` of OpenHands before its version 1. Unknown fields are ignored, so that newer clients work too.
"""

import re
import shlex
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,252}")
_ENVIRONMENT_BYTES = 1024 * 1024 - 4096
"""A Secret holds at most 1 MiB."""
_VARIABLE_BYTES = 128 * 1024
"""Linux starts no process with a longer string in its environment (execve(2)): `NAME=value` and a NUL."""


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which is no character") from None
    return text


def _passable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which a process cannot be given")
    return _encodable(text)


def _split(command: object) -> object:
    if not isinstance(command, str):
        return command
    try:
        return shlex.split(_encodable(command))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {str(error).lower()}") from None


Encodable = AfterValidator(_encodable)
Passable = AfterValidator(_passable)
Word = Annotated[str, Field(max_length=8192), Passable]
Id = Annotated[int, Field(strict=True, ge=1, le=2147483647)]


class _Request(BaseModel):
    # Values stay out of errors: an environment holds secrets.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        fields = cast("dict[str, Any]", body)
        return {name: value for name, value in fields.items() if value is not None}


class StartRequest(_Request):
    """What to run, and under which session id."""

    image: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1024), Passable] = Field(
        description="Container image with an OpenHands agent server."
    )
    session_id: Annotated[str, Field(min_length=1, max_length=1024), Encodable] = Field(
        description="The client's own handle for the sandbox: any text. The same one always names the same sandbox."
    )
    command: Annotated[
        list[Word], Field(max_length=128), BeforeValidator(_split, json_schema_input_type=str | list[str])
    ] = Field(
        default=[],
        description="Command line of the agent server: a list of words, or a string that is split as a shell would. "
        "No shell runs it.",
    )
    working_dir: Annotated[str, Field(max_length=4096), Passable] = Field(
        default="", description="Working directory of the command: an absolute path."
    )
    environment: dict[Annotated[str, Encodable], Annotated[str, Passable]] = Field(
        default={}, description="Environment variables. Names that the operator owns are dropped."
    )
    run_as_user: Id = Field(default=10001, description="User id of the process; never 0.")
    run_as_group: Id | None = Field(default=None, description="Group id of the process; `fs_group` when it is missing.")
    fs_group: Id = Field(default=10001, description="Group that owns the workspace.")
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    runtime_class: Annotated[str, Field(max_length=253), Encodable] = Field(
        default="", description="Runtime class asked for; the sandbox class maps it, and drops one it does not list."
    )
    resource_factor: Literal[1, 2, 4, 8] = Field(default=1, description="Multiplies CPU and memory of the class.")
    idle_timeout_seconds: Annotated[int, Field(strict=True, ge=0, le=31536000)] | None = Field(
        default=None, description="Paused after so long without work or requests; 0: never. Default: that of the class."
    )

    @field_validator("working_dir")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("is not an absolute path")
        return path

    @field_validator("environment")
    @classmethod
    def _fits_a_secret(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not _VARIABLE.fullmatch(name) or name == "." or name.startswith(".."):
                raise ValueError(
                    f"{name[:64]!r} is no name for a variable: use letters, digits, '_', '-' and '.', "
                    "at most 253 of them, no digit first"
                )
        sizes = {name: len(name) + len(value.encode()) + 2 for name, value in environment.items()}
        for name, size in sizes.items():
            if size > _VARIABLE_BYTES:
                raise ValueError(f"{name[:64]} is too large: {size} bytes; a process takes at most {_VARIABLE_BYTES}")
        size = sum(sizes.values())
        if size > _ENVIRONMENT_BYTES:
            raise ValueError(f"is too large: {size} bytes; a Secret holds about 1 MiB")
        return environment


class RuntimeRequest(_Request):
    """Names one sandbox."""

    runtime_id: Annotated[str, Field(min_length=1)] = Field(description="`runtime_id` of its /start.")
