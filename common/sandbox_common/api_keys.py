"""API keys of the gateway, and the form of their Secrets, for the gateway, the operator and `kubectl ohsb keys`.

The Secret has the label `API_KEY_LABEL`. Its entries are `sha256` (64 hex digits) and `owner`, and optionally `policy`
(JSON), `expires`, `previousSha256` and `previousExpires` (RFC 3339). Only hashes are stored, never a key.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from sandbox_common.kube import KubeObject
from sandbox_common.times import rfc3339
from sandbox_crds.image_patterns import PatternText

OWNER = r"[!-~]([ -~]{0,251}[!-~])?"
"""Pattern of an owner: 1 to 253 printable ASCII characters, none of them a space at an end."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OWNER = re.compile(OWNER)


type _Names = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=512)], ...], Field(strict=False)
]


class _Part(BaseModel):
    # Unknown names are refused, because a limit with a typing error in its name would have no effect.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True)


class Limits(_Part):
    """Limits of the key's owner, for all keys of the owner together. None: no limit."""

    running: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None, description="Sandboxes that start or run at a time."
    )
    sandboxes: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Sandboxes that there are, paused ones too."
    )
    starts_per_minute: Annotated[int, Field(ge=0, le=6000)] | None = Field(
        default=None, description="Sandboxes that are made or resumed within any 60 seconds."
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="Runtime API requests with this key, in each process of the gateway."
    )
    resource_factor: Literal[1, 2, 4, 8] | None = Field(default=None, description="Largest resource factor.")
    life_seconds: Annotated[int, Field(ge=60, le=315_360_000)] | None = Field(
        default=None, description="Age at which the owner's sandboxes are deleted."
    )


class Policy(_Part):
    """What a key allows."""

    limits: Limits = Limits()
    images: Annotated[tuple[PatternText, ...], Field(strict=False)] = Field(
        default=(),
        max_length=256,
        description="Patterns of the images that may be started; empty: all that the gateway allows.",
    )
    classes: _Names = Field(
        default=(),
        max_length=64,
        description="SandboxClasses that may be asked for, the first being the default; empty: only the gateway's own.",
    )
    admin: bool = Field(
        default=False,
        description="Permission `admin`: see the sandboxes of all owners, pause and stop them. It opens none of them.",
    )


@dataclass(frozen=True, slots=True)
class Hash:
    """SHA-256 of a key in 64 hex digits, and when the key expires."""

    sha256: str = field(repr=False)
    expires: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Whether the key is valid at `now` (with time zone)."""
        return self.expires is None or now < self.expires


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the Runtime API. `name` is the name of its Secret. During a rotation, it has two hashes."""

    name: str
    owner: str
    hashes: tuple[Hash, ...]
    policy: Policy


def decode(secret: KubeObject) -> ApiKey:
    """Decode the Secret of a key. Raises ValueError, whose message names the entry and contains no hash."""
    data: dict[str, str] = secret.get("data") or {}
    entries = {name: _text(name, value) for name, value in data.items()}
    owner = _entry(entries, "owner")
    if not _OWNER.fullmatch(owner):
        raise ValueError("data.owner is not 1 to 253 printable ASCII characters: store a name for the key there")
    hashes = [Hash(_sha256(entries, "sha256"), _time(entries, "expires"))]
    if "previousSha256" in entries:
        expires = _time(entries, "previousExpires")
        if expires is None:
            raise ValueError("data.previousExpires is missing: store there how long the previous key is valid")
        hashes.append(Hash(_sha256(entries, "previousSha256"), expires))
    metadata: dict[str, str] = secret.get("metadata") or {}
    return ApiKey(metadata.get("name", ""), owner, tuple(hashes), _policy(entries.get("policy", "{}")))


def encode(key: ApiKey) -> dict[str, str]:
    """The Secret's `data`. Raises ValueError if there are more hashes than the present and the previous one."""
    present, *previous = key.hashes
    entries = {"sha256": present.sha256, "owner": key.owner}
    if present.expires:
        entries["expires"] = rfc3339(present.expires)
    for hash_, *more in [previous] if previous else []:
        if more or hash_.expires is None:
            raise ValueError("a key has one previous hash at most, which expires")
        entries |= {"previousSha256": hash_.sha256, "previousExpires": rfc3339(hash_.expires)}
    if policy := key.policy.model_dump_json(by_alias=True, exclude_defaults=True).removeprefix("{}"):
        entries["policy"] = policy
    return {name: base64.b64encode(text.encode()).decode() for name, text in entries.items()}


def limits_by_owner(keys: Iterable[ApiKey]) -> dict[str, Limits]:
    """The limits of each owner: for each limit, the strictest value of any of the owner's keys.

    Expired keys count, too, because sandboxes that were started with them may still exist.
    """
    found: dict[str, Limits] = {}
    for key in keys:
        known = found.get(key.owner)
        found[key.owner] = key.policy.limits if known is None else _strictest(known, key.policy.limits)
    return found


def _strictest(one: Limits, other: Limits) -> Limits:
    values = {
        name: min((value for value in (getattr(one, name), getattr(other, name)) if value is not None), default=None)
        for name in Limits.model_fields
    }
    return Limits(**values)


def _policy(text: str) -> Policy:
    try:
        return Policy.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(("data.policy", *map(str, first["loc"])))
        raise ValueError(f"{where}: {first['msg']}") from None


def _sha256(entries: Mapping[str, str], name: str) -> str:
    text = _entry(entries, name).lower()
    if not _SHA256.fullmatch(text):
        raise ValueError(f"data.{name} is not a SHA-256 in 64 hex digits: store the digest of the key there")
    return text


def _time(entries: Mapping[str, str], name: str) -> datetime | None:
    text = entries.get(name)
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        time = read.astimezone(UTC) if read.tzinfo else None
    except (ValueError, OverflowError):  # a time near the limits of datetime may not exist in UTC
        time = None
    if time is None:
        raise ValueError(f"data.{name} is not a time with its zone, such as 2030-01-31T12:00:00Z")
    return time


def _entry(entries: Mapping[str, str], name: str) -> str:
    if not entries.get(name):
        raise ValueError(f"data.{name} is missing")
    return entries[name]


def _text(name: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"data.{name} is not text") from None
