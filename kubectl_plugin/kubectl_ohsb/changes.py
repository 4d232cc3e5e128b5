"""New, rotated and changed keys. Pure."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.texts import Given
from sandbox_common.api_keys import ApiKey, Hash, Policy
from sandbox_common.times import rfc3339

_PREFIX = "ohk_"
"""Secret scanners recognize keys by this prefix. It also prevents a hyphen at the beginning."""


def clear_key() -> str:
    """A new key with 256 random bits: letters, digits, `-` and `_`."""
    return _PREFIX + secrets.token_urlsafe(32)


def when(time: datetime | None) -> str:
    """A time as text for people; None is no end."""
    return rfc3339(time) if time else "never"


def policy(
    base: Policy, limits: Mapping[str, int | None], images: Sequence[str], classes: Sequence[str], admin: bool | None
) -> Policy:
    """`base` with the given limits, and with the other values if they are given."""
    return Policy(
        limits=base.limits.model_copy(update=dict(limits)),
        images=tuple(images) or base.images,
        classes=tuple(classes) or base.classes,
        admin=base.admin if admin is None else admin,
    )


def rotated(key: ApiKey, sha256: str, now: datetime, keep_old: timedelta, expires: datetime | None) -> ApiKey:
    """The key with a new hash. The present hash stays valid for `keep_old`, but not longer than either expiry.

    The new one expires at `expires`, or by default when the present one does. Raises Refusal.
    """
    present, *older = key.hashes
    if older and older[0].valid_at(now):
        raise Refusal(
            f"an older key of {key.name} is valid until {when(older[0].expires)}, and only one is possible: "
            "wait until then, or end it with keys set --end-old"
        )
    if expires is None and not present.valid_at(now):
        raise Refusal(f"{key.name} expired at {when(present.expires)}: give --expires, the end of the new key")
    new = Hash(sha256, expires or present.expires)
    old = replace(present, expires=_earliest(now + keep_old, present.expires, new.expires))
    return replace(key, hashes=(new, old) if old.valid_at(now) else (new,))


@dataclass(frozen=True, slots=True)
class Change:
    """What `set` changes: the limits, and other fields if they are given."""

    limits: Mapping[str, int | None]
    images: Sequence[str] = ()
    classes: Sequence[str] = ()
    expires: Given[datetime] | None = None
    all_images: bool = False
    own_class: bool = False
    end_old: bool = False
    admin: bool | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return self == Change({})

    def of(self, key: ApiKey) -> ApiKey:
        """The changed key."""
        present, *older = key.hashes
        if self.expires:
            end = self.expires.value
            present = replace(present, expires=end)
            older = [replace(hash_, expires=_earliest(hash_.expires, end)) for hash_ in older]
        hashes = (present,) if self.end_old else (present, *older)
        base = Policy(
            images=() if self.all_images else key.policy.images,
            classes=() if self.own_class else key.policy.classes,
            limits=key.policy.limits,
            admin=key.policy.admin,
        )
        changed = policy(base, self.limits, self.images, self.classes, self.admin)
        return replace(key, hashes=hashes, policy=changed)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
