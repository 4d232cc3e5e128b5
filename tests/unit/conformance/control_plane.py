"""The wrong server's control plane."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, StrictStr

from unit.conformance.boxes import Box, Boxes, Start
from unit.conformance.faults import Fault

API_KEY = "the-api-key-of-one"
OTHER_API_KEY = "the-api-key-of-another"
PREFIX = "/prefix"
_OWNERS = {API_KEY: "one", OTHER_API_KEY: "another"}

router = APIRouter()


class Named(BaseModel):
    """Body of what concerns one sandbox."""

    runtime_id: StrictStr


def _boxes(request: Request) -> Boxes:
    return request.app.state.boxes


def _owner(request: Request, x_api_key: Annotated[str, Header()] = "") -> str:
    if _boxes(request).fault is Fault.ANY_API_KEY_OPENS:
        return "one"
    if x_api_key not in _OWNERS:
        raise HTTPException(401, "unknown API key")
    return _OWNERS[x_api_key]


All = Annotated[Boxes, Depends(_boxes)]
Owner = Annotated[str, Depends(_owner)]


@router.get("/sessions/batch")
async def batch(request: Request, boxes: All, owner: Owner, ids: Annotated[list[str], Query()]) -> Any:
    found = [box and _told(box, request, boxes.fault) for box in (boxes.by_session(owner, one) for one in ids)]
    if boxes.fault is Fault.BATCH_REFUSES_UNKNOWN and None in found:
        raise HTTPException(404, "one of them is unknown")
    if boxes.fault is Fault.BATCH_BACKWARDS:
        found.reverse()
    return {"runtimes": found} if boxes.fault is Fault.BATCH_IS_AN_OBJECT else found


@router.get("/sessions/{session_id}")
async def session(request: Request, boxes: All, owner: Owner, session_id: str) -> Any:
    box = boxes.by_session(owner, session_id)
    if boxes.fault is Fault.TRACE_HEADERS_REFUSED and "traceparent" in request.headers:
        raise HTTPException(400, "unknown header")
    if box is None and boxes.fault is Fault.UNKNOWN_IS_NO_ERROR:
        return {"status": "stopped"}
    if box is None:
        raise HTTPException(404, "no such session")
    if boxes.fault is Fault.POLL_REFUSED and box.status == "starting" and not box.polled:
        box.polled = True
        raise HTTPException(503, "busy")
    told = _told(box, request, boxes.fault)
    box.looks_paused = False
    if boxes.fault is not Fault.NEVER_READY and box.status == "starting" and box.pullable:
        box.status = "running"
    return told


@router.get("/runtime/{runtime_id}")
async def runtime(request: Request, boxes: All, owner: Owner, runtime_id: str) -> Any:
    told = _told(boxes.by_runtime(owner, runtime_id), request, boxes.fault)
    if boxes.fault is Fault.RUNTIME_WITHOUT_POD_STATUS:
        del told["pod_status"]
    return told


@router.post("/start")
async def start(request: Request, boxes: All, owner: Owner, body: Start) -> Any:
    return _told(boxes.start(owner, body), request, boxes.fault)


@router.post("/pause")
async def pause(boxes: All, owner: Owner, body: Named) -> None:
    await boxes.pause(boxes.by_runtime(owner, body.runtime_id))


@router.post("/resume")
async def resume(request: Request, boxes: All, owner: Owner, body: Named) -> Any:
    box = boxes.by_runtime(owner, body.runtime_id)
    boxes.resume(box)
    return {} if boxes.fault is Fault.RESUME_WITHOUT_KEY else _told(box, request, boxes.fault)


@router.post("/stop")
async def stop(boxes: All, owner: Owner, body: Named) -> None:
    await boxes.stop(owner, body.runtime_id)


@router.get("/list", response_model=None)
async def list_running(request: Request, boxes: All, owner: Owner) -> Response | dict[str, Any]:
    if boxes.fault is Fault.PUT_OFF:
        raise HTTPException(429, "too many requests", {"Retry-After": "1"})
    if boxes.fault is Fault.LIST_REDIRECTED:
        return RedirectResponse("/runtimes")
    listed = [box for box in boxes.of(owner) if box.status != "paused" or boxes.fault is Fault.PAUSED_ARE_LISTED]
    return {"runtimes": [_told(box, request, boxes.fault) for box in listed], "total": len(listed)}


@router.get("/registry_prefix")
async def registry_prefix(boxes: All, owner: Owner) -> dict[str, str | None]:
    return {"registry_prefix": None if boxes.fault is Fault.NULL_REGISTRY_PREFIX else f"registry.test/{owner}"}


@router.get("/image_exists")
async def image_exists(boxes: All, owner: Owner, image: str) -> dict[str, Any]:
    if boxes.fault is Fault.EXISTS_WITHOUT_IMAGE:
        return {"exists": True}
    about = {"upload_time": "2026-11-01T00:00:00Z", "image_size_bytes": len(owner + image)}
    return {"exists": True, "image": about}


@router.get("/api/warm-runtime-configs")
async def warm_runtime_configs(boxes: All, owner: Owner) -> dict[str, Any]:
    port = 60000 if boxes.fault is Fault.WARM_CONFIG_WITH_NUMBERS else "60000"
    environment = {"PORT": port}
    config: dict[str, Any] = {"name": owner, "image": "i:1", "environment": environment, "working_dir": "/workspace"}
    if boxes.fault is not Fault.WARM_CONFIG_WITHOUT_COMMAND:
        config["command"] = ["run"]
    return {"configs": [config]}


def _told(box: Box, request: Request, fault: Fault) -> dict[str, Any]:
    url = f"http://{request.headers['host']}"
    url += {Fault.URL_WITH_SLASH: "/", Fault.URL_WITH_PATH: PREFIX}.get(fault, "")
    status, pod_status = box.status, {"running": "ready", "paused": "not found"}.get(box.status, "pending")
    if box.looks_paused:
        status, pod_status = "paused", "not found"
    if not box.pullable:
        status, pod_status = "error", "failed"
    return {
        "runtime_id": box.runtime_id,
        "session_id": box.session_id,
        "url": url,
        "session_api_key": None if fault is Fault.NULL_SESSION_KEY else box.key,
        "status": status.upper() if fault is Fault.STATUS_IN_CAPITALS else status,
        "pod_status": None if fault is Fault.NULL_POD_STATUS and pod_status == "pending" else pod_status,
        "restart_count": None if fault is Fault.NULL_RESTART_COUNT else 0,
        "restart_reasons": [],
        "container_statuses": [],
        "events": [],
        "pod_logs": "" if box.pullable else "ImagePullBackOff: no such image",
        "work_hosts": [url] if fault is Fault.WORK_HOSTS_WITHOUT_PORTS else {url: 12000},
    }
