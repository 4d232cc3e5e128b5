"""Parses the values of options. Pure; all functions raise ValueError with the remedy."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from sandbox_common.api_keys import OWNER, Limits, Policy
from sandbox_common.environment import is_reserved
from sandbox_common.usage import number_of
from sandbox_crds.image_references import Reference
from sandbox_crds.names import SANDBOX_NAME

LONGEST = timedelta(days=3650)
"""The latest possible expiry. A key without an expiry lasts without end."""

_UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _UNITS))
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,252}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Given[T]:
    """A given value, which may be None to remove the present one."""

    value: T | None


def duration(text: str) -> timedelta:
    """A duration such as 30d, 12h or 1d12h; 0 needs no unit."""
    match = _DURATION.fullmatch(text)
    if text != "0" and (match is None or not any(match.groups())):
        raise ValueError(f"{text!r} is not a duration: give numbers with units (w, d, h, m, s), such as 30d or 1d12h")
    numbers = match.groups(default="0") if match else ("0",)
    length = timedelta(seconds=sum(int(number) * unit for number, unit in zip(numbers, _UNITS.values(), strict=False)))
    if length > LONGEST:
        raise ValueError(f"{text!r} is too long: at most {LONGEST.days}d")
    return length


def expiry(text: str, now: datetime) -> datetime:
    """The time of a duration from now, or of an RFC 3339 text; in UTC, in whole seconds."""
    if text[:4].isdecimal() and text[4:5] == "-":
        time = _time(text)
    else:
        try:
            time = now + duration(text)
        except ValueError as error:
            raise ValueError(f"{error}; or a time such as 2030-01-31T12:00:00Z") from None
    if time <= now:
        raise ValueError(f"{text!r} is not in the future: give a later time, such as 30d")
    if time > now + LONGEST:
        raise ValueError(f"{text!r} is more than {LONGEST.days}d ahead: omit the option for a key that never expires")
    return time.astimezone(UTC).replace(microsecond=0)


def day(text: str) -> str:
    """A day in UTC."""
    if number_of(text) is None:
        raise ValueError(f"{text[:80]!r} is not a day: give one such as 2030-01-31")
    return text


def limit(field: str, text: str) -> int | None:
    """The value of one of `Limits`; None for `none`."""
    if text == "none":
        return None
    value = int(duration(text).total_seconds()) if field == "life_seconds" else _number(text)
    try:
        Limits.model_validate({field: value})
    except ValidationError as error:
        unit = " seconds" if field == "life_seconds" else ""
        raise ValueError(f"{message(error)}{unit}, not {text}: give another value, or none for no limit") from None
    return value


def owner(text: str) -> str:
    """The owner of sandboxes."""
    if not re.fullmatch(OWNER, text):
        raise ValueError(
            f"{text[:80]!r} is not an owner: give 1 to 253 printable ASCII characters, without a space at either end"
        )
    return text


def new_name(text: str) -> str:
    """The name of a new key, and of its Secret."""
    if not _LABEL.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is not a name: give 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end"
        )
    return text


def list_name(text: str) -> str:
    """The name of a list of images that may be a new one: names of pods begin so."""
    if not re.fullmatch(SANDBOX_NAME, text):
        raise ValueError(
            f"{text[:80]!r} is not a name: give 1 to 50 lower-case letters, digits and hyphens, a letter first and no "
            "hyphen at the end"
        )
    return text


def name(text: str) -> str:
    """The name of an object that may exist. Other programs may have given it a longer name."""
    if not _SUBDOMAIN.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a name: give lower-case letters, digits, hyphens and dots")
    return text


def image(text: str) -> str:
    """A pattern of images."""
    if not text.isprintable() or " " in text:
        raise ValueError(f"{text[:80]!a} matches no image: give a registry and a repository, such as ghcr.io/team/*")
    try:
        Policy.model_validate({"images": (text,)})
    except ValidationError as error:
        raise ValueError(message(error)) from None
    return text


def image_reference(text: str) -> str:
    """The image of a sandbox."""
    try:
        Reference.parse(text)
    except ValueError as error:
        raise ValueError(f"{text[:80]!a} {error}") from None
    return text


def session_id(text: str) -> str:
    """A client's name for a sandbox."""
    if not 1 <= len(text) <= 1024 or not text.isprintable():
        raise ValueError(f"{text[:80]!a} is not a session id: give 1 to 1024 characters that can be seen")
    return text


def variable(text: str) -> tuple[str, str]:
    """An environment variable, NAME=VALUE. The message has no value, which may be a secret."""
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(name):
        raise ValueError(f"{name[:80]!a} is not a variable: give NAME=VALUE; a name has letters, digits and _")
    if is_reserved(name):
        raise ValueError(f"{name} belongs to the operator or the gateway: give another variable")
    if "\0" in value:
        raise ValueError(f"the value of {name} has a NUL character, which no process can get: remove it")
    return name, value


def message(error: ValidationError) -> str:
    """The first error, without the value."""
    return error.errors(include_input=False, include_url=False)[0]["msg"].removeprefix("Value error, ")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.upper()) if _RFC3339.fullmatch(text) else None
    except ValueError:
        time = None
    if time is None:
        raise ValueError(f"{text!r} is not a time with its zone, such as 2030-01-31T12:00:00Z")
    return time


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a whole number of at most 18 digits: give one, or none for no limit")
    return int(text)
