"""The generic rules by which tools such as Flux and cli-utils judge custom resources.

From sigs.k8s.io/cli-utils, commit 5895ad6c of 2025-10-21, pkg/kstatus/status: checkGenericProperties, checkGeneration
(generic.go) and checkReadyCondition (status.go), in the order of Compute.
"""

from typing import Any, Literal

type Verdict = Literal["Current", "InProgress", "Failed", "Terminating"]


def verdict(item: dict[str, Any]) -> tuple[Verdict, str]:
    """The status of an object of the API server, and the message, as far as it comes from a condition."""
    metadata, status = item["metadata"], item.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating", ""
    if "generation" in metadata and status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress", ""
    conditions: list[dict[str, Any]] = status.get("conditions", [])
    for condition in conditions:
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress", condition["message"]
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed", condition["message"]
    for condition in conditions:
        if condition["type"] == "Ready" and condition["status"] in {"True", "False", "Unknown"}:
            return ("Current", "") if condition["status"] == "True" else ("InProgress", condition["message"])
    return "Current", ""
