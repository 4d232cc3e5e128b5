"""A Lease (coordination.k8s.io/v1) and what the election reads from it.

Times in a Lease are for people: no candidate uses them for a decision.
"""

from datetime import datetime
from typing import Any, Final

from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import LEASES
from sandbox_common.times import rfc3339_micro
from sandbox_crds.api import GROUP
from sandbox_operator.leader.election import LeaseRecord
from sandbox_operator.leader.service_account import ServiceAccount

_ACCOUNT: Final = f"{GROUP}/holder-account"
_ACCOUNT_UID: Final = f"{GROUP}/holder-account-uid"
_HOLDER: Final = f"{GROUP}/holder"
"""The holder whose account the others name. An operator that does not know these annotations leaves them unchanged when
it takes the Lease, so they count only if this one names the present holder."""


def decode(lease: KubeObject, reader: ServiceAccount) -> LeaseRecord:
    """Decode a Lease. Missing fields are 0 or "". Raises KeyError if the body is not an object.

    The Lease counts as free if the reader's account replaces the holder's.
    """
    spec: dict[str, Any] = lease.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    annotations: dict[str, str] = lease["metadata"].get("annotations") or {}
    account = ServiceAccount(annotations.get(_ACCOUNT, ""), annotations.get(_ACCOUNT_UID, ""))
    if annotations.get(_HOLDER) == holder and reader.replaces(account):
        holder = ""
    return LeaseRecord(
        version=int(lease["metadata"]["resourceVersion"]),
        holder=holder,
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )


def new(name: str, identity: str, account: ServiceAccount, duration: int, now: datetime) -> KubeObject:
    """A Lease that is held from `now` (wall clock, UTC)."""
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration,
        "acquireTime": rfc3339_micro(now),
        "renewTime": rfc3339_micro(now),
        "leaseTransitions": 0,
    }
    metadata = {"name": name, "annotations": _annotations(identity, account)}
    return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}


def hold(base: LeaseRecord, identity: str, account: ServiceAccount, duration: int, now: datetime) -> dict[str, Any]:
    """Merge patch that takes or renews the Lease if it is still `base` (else 409)."""
    spec: dict[str, Any] = {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration,
        "renewTime": rfc3339_micro(now),
    }
    if base.holder != identity:
        spec |= {"acquireTime": rfc3339_micro(now), "leaseTransitions": base.transitions + 1}
    patch = _patch(base, spec)
    patch["metadata"]["annotations"] = _annotations(identity, account)
    return patch


def release(base: LeaseRecord, now: datetime) -> dict[str, Any]:
    """Merge patch that releases the Lease if it is still `base` (else 409)."""
    return _patch(base, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": rfc3339_micro(now)})


def _patch(base: LeaseRecord, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(base.version)}, "spec": spec}


def _annotations(identity: str, account: ServiceAccount) -> dict[str, str]:
    return {_HOLDER: identity, _ACCOUNT: account.name, _ACCOUNT_UID: account.uid}
