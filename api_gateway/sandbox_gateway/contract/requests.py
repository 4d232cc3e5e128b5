"""Bodies of the Runtime API, with the field names of the clients.

Sources: openhands_workspace 1.58.2 (`APIRemoteWorkspace`), openhands_ai 1.11.0 (`remote_sandbox_service`), and
`RemoteRuntime` of OpenHands before its version 1. Unknown fields are ignored, so that newer clients work too.
"""

import re
from functools import partial
from typing import Annotated, Any, Literal, cast, override

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sandbox_common.environment import PENDING_TIMEOUT, SANDBOX_CLASS
from sandbox_common.redaction import FORMATTING, FORMATTING_OF_SCHEMAS
from sandbox_crds.image_references import PATTERN, Reference
from sandbox_crds.models.sandbox import COMMAND_BYTES, LONGEST_START
from sandbox_gateway.contract.words import split

_VARIABLE = r"[-_a-zA-Z][-._a-zA-Z0-9]{0,252}|\.[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,251}"
_CLASS = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*)?$"
_CLASS_CHARACTERS = 253
_ENVIRONMENT_BYTES = 1024 * 1024 - 4096
"""A Secret holds at most 1 MiB."""
_VARIABLE_BYTES = 128 * 1024
"""Linux starts no process with a longer string in its environment (execve(2)). It counts `NAME=value` and a NUL."""
_VARIABLES = 1024
_WORDS = 128
_LINE_CHARACTERS = 2 * COMMAND_BYTES
"""A command before it is split, with its quotes and backslashes."""


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


def _reference(text: str) -> str:
    Reference.parse(text)
    return text


def _visible(text: str) -> str:
    if _UNSEEN.search(text):
        raise ValueError("holds a character that is not seen: a control character, or one that changes how others are")
    return _encodable(text)


def _whole(value: object) -> object:
    """JSON has one kind of number: 1.0 is 1. In Python, a boolean is a number too."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _seconds(said: str) -> int | None:
    seconds = int(said) if re.fullmatch("[0-9]{1,6}", said) else LONGEST_START + 1
    return seconds if seconds <= LONGEST_START else None


def _split(command: object) -> object:
    if isinstance(command, str):
        if len(command) > _LINE_CHARACTERS:
            raise ValueError(f"is too long: {len(command)} characters, at most {_LINE_CHARACTERS} before it is split")
        return split(_encodable(command), _WORDS)
    return _few("words", _WORDS, command)


def _few(things: str, most: int, found: object) -> object:
    """Counts before each one is checked: every wrong one would be a separate error."""
    number = len(cast("list[Any]", found)) if isinstance(found, list | dict) else 0
    if number > most:
        raise ValueError(f"has too many {things}: {number}, at most {most}")
    return cast(object, found)


def _fits_a_command(words: list[str]) -> list[str]:
    size = sum(len(word.encode()) for word in words)
    if size > COMMAND_BYTES:
        raise ValueError(f"is too large: {size} bytes, at most {COMMAND_BYTES} in all")
    return words


_UNSEEN = re.compile(rf"[\x00-\x1f\x7f-\x9f{FORMATTING}]")

# Patterns only for the description: the functions above check, and say more than that a text does not match.
_NO_NUL: JsonDict = {"pattern": r"^[^\u0000]*$"}
_IMAGE: JsonDict = {"pattern": PATTERN}
_SEEN: JsonDict = {"pattern": rf"^[^\u0000-\u001f\u007f-\u009f{FORMATTING_OF_SCHEMAS}]+$"}
_ABSOLUTE: JsonDict = {"pattern": r"^(?:/[^\u0000]*)?$"}
_SPLITTABLE: JsonDict = {
    "pattern": r"""^(?:[^'"\\\u0000]|\\[^\u0000]|'[^'\u0000]*'|"(?:[^"\\\u0000]|\\[^\u0000])*")*$"""
}

Encodable = AfterValidator(_encodable)
Passable = AfterValidator(_passable)
Text = Annotated[str, Passable, Field(json_schema_extra=_NO_NUL)]
Word = Annotated[str, Field(max_length=8192, json_schema_extra=_NO_NUL), Passable]
Words = Annotated[list[Word], Field(max_length=_WORDS)]
CommandLine = Annotated[str, Field(max_length=_LINE_CHARACTERS, json_schema_extra=_SPLITTABLE)]
Whole = BeforeValidator(_whole)
UserId = Annotated[int, Field(strict=True, ge=1, le=2147483647), Whole]
GroupId = Annotated[int, Field(strict=True, ge=0, le=2147483647), Whole]


class _Request(BaseModel):
    # Errors have no values: an environment has secrets.
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        fields = cast("dict[str, Any]", body)
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        for name, field in schema["properties"].items():
            if name not in schema["required"] and {"type": "null"} not in field.get("anyOf", ()):
                schema["properties"][name] = _or_null(field)
        return schema


def _or_null(field: JsonSchemaValue) -> JsonSchemaValue:
    described = {key: field[key] for key in ("title", "description", "default") if key in field}
    plain = {key: value for key, value in field.items() if key not in described}
    return {"anyOf": [*plain.get("anyOf", [plain]), {"type": "null"}], **described}


class StartRequest(_Request):
    """What to run, for which session id."""

    image: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1024), AfterValidator(_reference)
    ] = Field(description="Container image with an OpenHands agent server.", json_schema_extra=_IMAGE)
    session_id: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_visible)] = Field(
        description="The client's name for the sandbox: any text without control and formatting characters. The same "
        "id always names the same sandbox.",
        json_schema_extra=_SEEN,
    )
    command: Annotated[
        Words, BeforeValidator(_split, json_schema_input_type=CommandLine | Words), AfterValidator(_fits_a_command)
    ] = Field(
        default=[],
        description="Command line of the agent server: a list of words, or a string that is split as by a shell. "
        f"No shell runs it. At most {COMMAND_BYTES // 1024} KiB in all.",
    )
    working_dir: Annotated[str, Field(max_length=4096), Passable] = Field(
        default="",
        description="Working directory of the command, an absolute path. It is created if it is missing.",
        json_schema_extra=_ABSOLUTE,
    )
    environment: Annotated[
        dict[Annotated[str, Encodable], Text], BeforeValidator(partial(_few, "variables", _VARIABLES))
    ] = Field(
        default={},
        description=f"Environment variables, at most {_VARIABLES}, 128 KiB each and 1 MiB in all. Names that the "
        "operator sets are dropped. Names that begin with OHSB_ are for the gateway; the sandbox does not get them.",
        json_schema_extra={"propertyNames": {"pattern": f"^(?:{_VARIABLE})$"}, "maxProperties": _VARIABLES},
    )
    run_as_user: UserId = Field(default=10001, description="User id of the process; never 0.")
    run_as_group: GroupId | None = Field(
        default=None,
        description="Group id of the process. Default: `fs_group`. 0 only if the class allows it.",
    )
    fs_group: GroupId = Field(
        default=10001, description="Group that owns the workspace. 0 only if the class allows it."
    )
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    runtime_class: Annotated[str, Field(max_length=253), Encodable] = Field(
        default="",
        description="Requested runtime class. The sandbox class maps it, and ignores one that it does not list.",
    )
    resource_factor: Annotated[Literal[1, 2, 4, 8], Whole] = Field(
        default=1, description="Multiplies CPU and memory of the class."
    )
    sandbox_class: Annotated[str, Field(max_length=_CLASS_CHARACTERS, pattern=_CLASS)] = Field(
        default="",
        validate_default=True,
        description="SandboxClass of a new sandbox, one of those that the API key allows. Default: "
        f"{SANDBOX_CLASS} of `environment`, else the first of them, or the gateway's.",
    )
    idle_timeout_seconds: Annotated[int, Field(strict=True, ge=0, le=31536000), Whole] | None = Field(
        default=None,
        description="Seconds of inactivity before the sandbox is paused; 0 disables. Defaults to the class's value, "
        "which is also the maximum if the class has one.",
    )

    pending_timeout_seconds: Annotated[int, Field(strict=True, ge=0, le=LONGEST_START), Whole] | None = Field(
        default=None,
        description="Seconds for which a delayed start is `pending` before it is `failed`; 0: always pending. Default: "
        f"{PENDING_TIMEOUT} of `environment`, else that of the class.",
    )

    @property
    def group(self) -> int:
        """Group id of the process."""
        return self.fs_group if self.run_as_group is None else self.run_as_group

    @model_validator(mode="before")
    @classmethod
    def _patience_may_be_in_the_environment(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        fields = cast("dict[str, Any]", body)
        environment = fields.get("environment")
        said = cast("dict[str, Any]", environment).get(PENDING_TIMEOUT) if isinstance(environment, dict) else None
        seconds = _seconds(said) if isinstance(said, str) else None
        if fields.get("pending_timeout_seconds") is not None or seconds is None:
            return fields
        return {**fields, "pending_timeout_seconds": seconds}

    @field_validator("working_dir")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError("is not an absolute path")
        return path

    @field_validator("sandbox_class")
    @classmethod
    def _or_as_the_environment_says(cls, name: str, info: ValidationInfo) -> str:
        return name or info.data.get("environment", {}).get(SANDBOX_CLASS, "")

    @field_validator("environment")
    @classmethod
    def _instructs_the_gateway(cls, environment: dict[str, str]) -> dict[str, str]:
        name = environment.get(SANDBOX_CLASS, "")
        if len(name) > _CLASS_CHARACTERS or not re.fullmatch(_CLASS, name):
            raise ValueError(f"{SANDBOX_CLASS} is not the name of a SandboxClass")
        if _seconds(environment.get(PENDING_TIMEOUT, "0")) is None:
            raise ValueError(f"{PENDING_TIMEOUT} is no whole number of seconds from 0 to {LONGEST_START}")
        return environment

    @field_validator("environment")
    @classmethod
    def _fits_a_secret(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not re.fullmatch(_VARIABLE, name):
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
            raise ValueError(f"is too large: {size} bytes, at most {_ENVIRONMENT_BYTES} in all, as a Secret holds")
        return environment


class RuntimeRequest(_Request):
    """Names one sandbox."""

    runtime_id: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="`runtime_id` of its /start.")
