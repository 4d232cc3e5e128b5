"""A Lease (coordination.k8s.io/v1) and what the election reads from it.

Times in a Lease are for people: no candidate decides by them.
"""

from datetime import datetime
from typing import Any

from sandbox_crds.kube import KubeObject
from sandbox_crds.kube.resources import LEASES
from sandbox_operator.leader.election import Record


def decode(lease: KubeObject) -> Record:
    """What a Lease says; what it does not say is read as 0 or "". Raises KeyError when it is no object."""
    spec: dict[str, Any] = lease.get("spec") or {}
    return Record(
        version=int(lease["metadata"]["resourceVersion"]),
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
    )


def new(name: str, identity: str, duration: int, now: datetime) -> KubeObject:
    """A Lease that is held from `now` (wall clock, UTC)."""
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration,
        "acquireTime": _micro_time(now),
        "renewTime": _micro_time(now),
        "leaseTransitions": 0,
    }
    return {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def hold(base: Record, identity: str, duration: int, now: datetime) -> dict[str, Any]:
    """Merge patch that takes or renews the Lease if it is still `base` (else 409)."""
    spec: dict[str, Any] = {
        "holderIdentity": identity,
        "leaseDurationSeconds": duration,
        "renewTime": _micro_time(now),
    }
    if base.holder != identity:
        spec |= {"acquireTime": _micro_time(now), "leaseTransitions": base.transitions + 1}
    return _patch(base, spec)


def release(base: Record, now: datetime) -> dict[str, Any]:
    """Merge patch that gives the Lease back if it is still `base` (else 409)."""
    return _patch(base, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(now)})


def _patch(base: Record, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(base.version)}, "spec": spec}


def _micro_time(now: datetime) -> str:
    """As Kubernetes' MicroTime."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
