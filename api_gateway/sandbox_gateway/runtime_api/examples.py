"""Examples of bodies and answers, for the OpenAPI description. A test compares them with their schemas."""

import json
from typing import Any

SDK_START: dict[str, Any] = {
    "image": "ghcr.io/openhands/agent-server:1.58.2-python",
    "command": "/usr/local/bin/openhands-agent-server --port 60000",
    "working_dir": "/",
    "environment": {},
    "session_id": "agent-server-5a0f4fc2-8cb4-44fd-9a92-5b1d3d3b5b4e",
    "run_as_user": 10001,
    "fs_group": 10001,
    "image_pull_policy": "IfNotPresent",
    "runtime_class": "sysbox-runc",
}
APP_START: dict[str, Any] = {
    "image": "ghcr.io/openhands/agent-server:1.58.2-python",
    "command": ["/usr/local/bin/openhands-agent-server", "--port", "60000"],
    "working_dir": "/workspace/project",
    "environment": {"LOG_JSON": "true", "OH_CONVERSATIONS_PATH": "/workspace/conversations"},
    "session_id": "5Xk3ZbQ0aAbBcCdDeEfF9q",
    "resource_factor": 1,
    "run_as_user": 10001,
    "run_as_group": 10001,
    "fs_group": 10001,
    "idle_timeout_seconds": 1800,
}
RUNTIME_ID = "sb-3q7wlhq6m2xkzv5tn4dbcyae"
RUNTIME: dict[str, Any] = {"runtime_id": RUNTIME_ID}

RUNNING: dict[str, Any] = {
    "runtime_id": RUNTIME_ID,
    "session_id": SDK_START["session_id"],
    "url": "https://sandboxes.example.com",
    "session_api_key": "ohs_v1-<id of the key>_<mac>",
    "status": "running",
    "pod_status": "ready",
    "status_detail": None,
    "restart_count": 0,
    "restart_reasons": [],
    "container_statuses": [
        {"name": "agent-server", "ready": True, "restart_count": 0, "reason": "Ready", "message": ""}
    ],
    "events": [],
    "pod_logs": "",
    "work_hosts": {},
    "image": SDK_START["image"],
    "owner": "team-a",
    "sandbox_class": "default",
    "reason": "Ready",
    "since": "2026-01-31T12:00:09Z",
    "launch": "Cold",
    "pool": "",
    "created_at": "2026-01-31T12:00:00Z",
}
_CANNOT_PULL = (
    "the image ghcr.io/openhands/agent-server:no-such cannot be pulled: rpc error: code = NotFound. Remedy: Check "
    "spec.image. A private registry needs a Secret in pod.imagePullSecrets of the SandboxClass."
)
FAILED: dict[str, Any] = {
    **RUNNING,
    "status": "error",
    "pod_status": "failed",
    "status_detail": f"ImagePullBackOff: {_CANNOT_PULL}",
    "container_statuses": [
        {
            "name": "agent-server",
            "ready": False,
            "restart_count": 0,
            "reason": "ImagePullBackOff",
            "message": f"ImagePullBackOff: {_CANNOT_PULL}",
        }
    ],
    "events": [{"type": "Warning", "reason": "ImagePullBackOff", "message": f"ImagePullBackOff: {_CANNOT_PULL}"}],
    "pod_logs": f"ImagePullBackOff: {_CANNOT_PULL}",
    "image": "ghcr.io/openhands/agent-server:no-such",
    "reason": "ImagePullBackOff",
}
PAUSED: dict[str, Any] = {
    **RUNNING,
    "status": "paused",
    "pod_status": "not found",
    "container_statuses": [],
    "events": [{"type": "Normal", "reason": "Suspended", "message": "The workspace is kept."}],
    "reason": "Suspended",
}
OF_ANOTHER: dict[str, Any] = {**RUNNING, "session_api_key": "", "owner": "team-b"}
WARM_CONFIG: dict[str, Any] = {
    "name": "agent-1-58",
    "ready": 3,
    **{
        field: APP_START[field]
        for field in (
            *("image", "command", "environment", "working_dir"),
            *("run_as_user", "run_as_group", "fs_group"),
        )
    },
}
EVENTS = f"""\
retry: 2718

event: sandbox
data: {json.dumps({**RUNNING, "session_api_key": ""})}

event: synced
data: {{"total": 1}}

event: gone
data: {{"runtime_id": "{RUNTIME_ID}"}}

"""
HISTORY: dict[str, Any] = {
    "runtime_id": RUNTIME_ID,
    "steps": [
        {
            "step": step,
            "time": f"2026-01-31T12:00:{second:02}.000000Z",
            "seconds": seconds,
            "source": source,
            "detail": detail,
        }
        for step, second, seconds, source, detail in (
            ("asked", 0, 1.0, "sandbox", SDK_START["image"]),
            ("scheduled", 1, 4.0, "pod", "on node node-1"),
            ("booting", 5, 4.0, "pod", ""),
            ("ready", 9, 51.0, "sandbox", ""),
        )
    ],
    "incomplete": "",
}
POOLS: dict[str, Any] = {
    "pools": [
        {
            "name": "agent-1-58",
            "sandbox_class": "default",
            "image": SDK_START["image"],
            "wanted": 3,
            "free": 2,
            "starting": 1,
            "failing": 0,
            "claimed": 4,
            "reason": "Filling",
            "message": "",
        }
    ],
    "hits": 4,
    "misses": [{"reason": "EnvironmentDiffers", "count": 1, "details": ["LOG_LEVEL"]}],
}
LIMITS: dict[str, Any] = {
    "owner": "team-a",
    "limits": {"running": 20, "lifeSeconds": 604800},
    "used": {"running": 5, "sandboxes": 7},
    "left": {"running": 15},
    "queued": 0,
}
LOG = "INFO:     Started server process [7]\nINFO:     Uvicorn running on http://0.0.0.0:60000\n"
STOPPED: dict[str, Any] = {"runtime_id": RUNTIME_ID, "session_id": SDK_START["session_id"], "status": "stopped"}
EXPLAINED: dict[str, Any] = {
    "runtime_id": RUNTIME_ID,
    "status": "starting",
    "pod_status": "pending",
    "reason": "Unschedulable",
    "launch": "Cold",
    "cause": "0/3 nodes are available: 3 Insufficient memory.",
    "evidence": [
        {
            "source": "condition",
            "text": "Ready is False, Unschedulable: 0/3 nodes are available: 3 Insufficient memory.",
            "time": "2026-01-31T12:00:02Z",
        },
        {
            "source": "event",
            "text": f"Warning FailedScheduling, Pod {RUNTIME_ID}-jje2z6fg: 0/3 nodes are available: 3 Insufficient "
            "memory.",
            "time": "2026-01-31T12:00:01Z",
        },
    ],
    "remedy": "Add nodes, stop or pause other sandboxes, or lower resources.requests of the SandboxClass.",
}
_USED: dict[str, int] = {
    "running_seconds": 5400,
    "suspended_seconds": 3600,
    "cpu_millicore_seconds": 2700000,
    "memory_mebibyte_seconds": 16588800,
    "storage_mebibyte_seconds": 92160000,
    "cold_starts": 1,
    "warm_starts": 2,
    "resumes": 1,
}
USAGE: dict[str, Any] = {
    "through": "2026-01-31T12:00:00Z",
    "total": _USED,
    "days": [{**_USED, "date": "2026-01-31", "class_name": "default"}],
}
IMAGE_THERE: dict[str, Any] = {
    "exists": True,
    "known": True,
    "detail": "ghcr.io has the image.",
    "image": {"upload_time": "2026-01-31T12:00:00Z", "image_size_bytes": 734003200},
}
IMAGE_MISSING: dict[str, Any] = {
    "exists": False,
    "known": True,
    "detail": "ghcr.io has no such image.",
    "image": {"upload_time": "", "image_size_bytes": 0},
}
IMAGE_UNKNOWN: dict[str, Any] = {
    "exists": True,
    "known": False,
    "detail": "The gateway asked ghcr.io, but it does not show the image without credentials (status 401). "
    "The nodes may be able to pull the image all the same.",
    "image": {"upload_time": "", "image_size_bytes": 0},
}
