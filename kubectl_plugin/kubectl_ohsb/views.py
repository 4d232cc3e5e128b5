"""The output about keys: JSON, a table, a page. It never has a hash. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kubectl_ohsb.changes import when
from kubectl_ohsb.key_secrets import StoredKey
from kubectl_ohsb.printing import columns
from sandbox_common.api_keys import ApiKey, Limits, limits_by_owner
from sandbox_common.times import rfc3339

_UNREADABLE = "Unreadable"


def document(stored: StoredKey, namespace: str, now: datetime) -> dict[str, Any]:
    """A key as JSON. For an unreadable Secret it has `error` instead of the other fields."""
    names = {"name": stored.name, "namespace": namespace, "created": stored.created}
    if stored.key is None:
        return {**names, "status": _UNREADABLE, "error": stored.error}
    key = stored.key
    return {
        **names,
        "owner": key.owner,
        "status": _status(key, now),
        "expires": _end(key.hashes[0].expires),
        "olderKeyValidUntil": _end(_older(key, now)),
        "limits": _limits(key.policy.limits),
        "images": list(key.policy.images),
        "classes": list(key.policy.classes),
        "admin": key.policy.admin,
    }


def table(keys: Sequence[StoredKey], now: datetime) -> str:
    """A table with a row for each key."""
    rows = [("NAME", "OWNER", "ADMIN", "STATUS", "LIMITS", "CREATED", "EXPIRES", "OLDER KEY UNTIL")]
    for stored in keys:
        if key := stored.key:
            limits, older = text_of(key.policy.limits), _older(key, now)
            status, expires = _status(key, now), when(key.hashes[0].expires)
            end = when(older) if older else "-"
            rows.append((stored.name, key.owner, _admin(key), status, limits, stored.created, expires, end))
        else:
            rows.append((stored.name, "-", "-", _UNREADABLE, stored.error, stored.created, "-", "-"))
    return columns(rows)


def page(
    stored: StoredKey, key: ApiKey, owner_keys: Sequence[ApiKey], sandboxes: Sequence[str] | None, now: datetime
) -> str:
    """Everything about one key and its owner. `sandboxes` are their names, None when they are not known."""
    older = _older(key, now)
    policy = key.policy
    rows = [
        ("Name:", stored.name),
        ("Owner:", key.owner),
        ("Administrator:", _admin(key)),
        ("Status:", _status(key, now)),
        ("Created:", stored.created),
        ("Expires:", when(key.hashes[0].expires)),
        ("Older key valid until:", when(older) if older else "-"),
        ("Limits:", text_of(policy.limits)),
        ("Images:", ", ".join(policy.images) or "all that the gateway allows"),
        ("Classes:", ", ".join(policy.classes) or "only the gateway's own"),
        ("Keys of the owner:", ", ".join(other.name for other in owner_keys)),
        ("Limits of the owner:", text_of(_shared(owner_keys))),
        ("Sandboxes of the owner:", "not known" if sandboxes is None else str(len(sandboxes))),
    ]
    if stored.release:
        rows.append(("Helm release:", stored.release))
    return columns(rows)


def document_of_owner(keys: Sequence[ApiKey], sandboxes: Sequence[str] | None) -> dict[str, Any]:
    """The owner of these keys as JSON. `sandboxes` are their names, None when they are not known."""
    return {
        "keys": [key.name for key in keys],
        "limits": _limits(_shared(keys)),
        "sandboxes": None if sandboxes is None else len(sandboxes),
    }


def others_of_owner(stored: StoredKey, keys: Sequence[StoredKey]) -> list[str]:
    """Names of the owner's other keys; none when the key cannot be read."""
    owner = stored.key.owner if stored.key else None
    return [other.name for other in keys if other.key and other.key.owner == owner and other.uid != stored.uid]


def revoked(
    stored: StoredKey, namespace: str, other_keys: Sequence[str], sandboxes: Sequence[str] | None
) -> dict[str, Any]:
    """The revoked key as JSON, with what its owner still has; None where that is not known."""
    owner = stored.key.owner if stored.key else None
    return {
        "name": stored.name,
        "namespace": namespace,
        "owner": owner,
        "otherKeys": list(other_keys),
        "sandboxes": None if sandboxes is None else list(sandboxes),
    }


def after_revocation(
    stored: StoredKey, namespace: str, other_keys: Sequence[str], sandboxes: Sequence[str] | None
) -> list[str]:
    """The same for people, with what they can do next."""
    owner = stored.key.owner if stored.key else "unknown"
    lines = [f"Owner {owner} still has other keys: {', '.join(other_keys)}."] if other_keys else []
    if sandboxes:
        end = f"kubectl delete ohsb --namespace {namespace} {' '.join(sandboxes)}"
        lines.append(f"Sandboxes of owner {owner} that still exist: {len(sandboxes)}. To end them: {end}")
    elif sandboxes is None:
        lines.append(f"Sandboxes of owner {owner} may still exist: kubectl get ohsb --namespace {namespace}")
    else:
        lines.append(f"No sandbox of owner {owner} exists.")
    if stored.release:
        lines.append(
            f"The next upgrade of the Helm release {stored.release} creates it again, unless the chart's value "
            "apiKey.create is false."
        )
    return lines


def text_of(limits: Limits) -> str:
    """The limits that are set."""
    return ", ".join(f"{name}={value}" for name, value in _limits(limits).items()) or "none"


def _shared(keys: Sequence[ApiKey]) -> Limits:
    """The limits of the one owner of these keys, without requestsPerMinute, which counts for each key separately."""
    [limits] = limits_by_owner(keys).values()
    return limits.model_copy(update={"requests_per_minute": None})


def _limits(limits: Limits) -> dict[str, int]:
    return limits.model_dump(by_alias=True, exclude_none=True)


def _status(key: ApiKey, now: datetime) -> str:
    return "Valid" if any(hash_.valid_at(now) for hash_ in key.hashes) else "Expired"


def _admin(key: ApiKey) -> str:
    return "yes" if key.policy.admin else "no"


def _older(key: ApiKey, now: datetime) -> datetime | None:
    return next((hash_.expires for hash_ in key.hashes[1:] if hash_.valid_at(now)), None)


def _end(time: datetime | None) -> str | None:
    return rfc3339(time) if time else None
