"""The wrong server's data plane: as much of an agent server as the suite uses, reached by the session key."""

import asyncio
import json
import uuid
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from unit.conformance.boxes import Box, Boxes
from unit.conformance.faults import Fault

_CAP = 1024 * 1024
_SILENCE = 0.5
_STATE: dict[str, Any] = {"kind": "ConversationStateUpdateEvent", "key": "full_state", "value": {}}

router = APIRouter()


class Command(BaseModel):
    """Body of both ways to run one."""

    command: str


def _boxes(connection: HTTPConnection) -> Boxes:
    return connection.app.state.boxes


def _fault(connection: HTTPConnection) -> Fault:
    return _boxes(connection).fault


def _opened(request: Request) -> Box:
    boxes = _boxes(request)
    found = boxes.by_key(request.headers.get("x-session-api-key", ""))
    if found is None:
        raise HTTPException(401, "wrong session key")
    if isinstance(found, str):
        raise HTTPException(503 if boxes.fault is Fault.DELETED_IS_503 else 404, "deleted")
    if found.status == "paused":
        raise HTTPException({Fault.PAUSED_IS_404: 404, Fault.PAUSED_IS_502: 502}.get(boxes.fault, 503), "paused")
    if found.unready_requests:
        found.unready_requests -= 1
        raise HTTPException(503, "not there yet")
    return found


Opened = Annotated[Box, Depends(_opened)]
Wrong = Annotated[Fault, Depends(_fault)]


@router.get("/health")
@router.get("/alive")
def health(request: Request, fault: Wrong) -> dict[str, str]:
    if fault is Fault.HEALTH_NEEDS_KEY and "x-session-api-key" not in request.headers:
        raise HTTPException(401, "no key")
    if fault is Fault.ALIVE_MISSING and request.url.path.endswith("/alive"):
        raise HTTPException(404, "no such path")
    return {"status": "ok"}


@router.options("/api/{path:path}")
def preflight(request: Request) -> Response:
    return Response(headers={"Access-Control-Allow-Origin": request.headers["origin"]})


@router.get("/server_info", dependencies=[Depends(_opened)])
def server_info() -> dict[str, int]:
    return {"uptime": 1}


@router.post("/api/bash/start_bash_command")
async def start_command(box: Opened, fault: Wrong, body: Command) -> dict[str, str]:
    output = await asyncio.to_thread(box.run, body.command)
    if fault is Fault.ERROR_OUTPUT_LOST:
        output["stderr"] = ""
    return {"id": output["command_id"]}


@router.post("/api/bash/execute_bash_command")
async def execute_command(box: Opened, fault: Wrong, body: Command) -> dict[str, Any]:
    if fault is Fault.SILENT_CALL_CUT:
        raise HTTPException(504, "no answer in time")
    return await asyncio.to_thread(box.run, body.command)


@router.get("/api/bash/bash_events/search")
def search(box: Opened, fault: Wrong, command_id__eq: str = "") -> dict[str, list[Any]]:
    if fault is Fault.POLLS_FAIL and not command_id__eq and box.polled:
        raise HTTPException(502, "the connection was just closed")
    box.polled = True
    return {"items": [box.commands[command_id__eq]] if command_id__eq in box.commands else []}


@router.post("/api/file/upload")
async def upload(box: Opened, fault: Wrong, path: str, request: Request) -> None:
    # A form of one part, as the suite sends it.
    content = (await request.body()).partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
    if fault is Fault.BODY_CAP and len(content) > _CAP:
        raise HTTPException(413, "too large")
    box.path(path).parent.mkdir(parents=True, exist_ok=True)
    box.path(path).write_bytes(content)


@router.get("/api/file/download")
def download(box: Opened, fault: Wrong, path: str) -> Response:
    answer = _file(box, unquote(path) if fault is Fault.QUERY_DECODED_TWICE else path)
    if fault is Fault.LENGTH_LOST:
        return StreamingResponse(iter(partial(Path(answer.path).open("rb").read, 65536), b""))
    return answer


@router.post("/api/conversations", status_code=201)
def begin_conversation(box: Opened) -> dict[str, str]:
    identity = str(uuid.uuid4())
    box.conversations[identity] = set()
    return {"id": identity}


@router.get("/api/conversations/{identity}")
def conversation(box: Opened, fault: Wrong, identity: str) -> None:
    raise HTTPException(502 if fault is Fault.ERRORS_REPLACED else 404, f"{box.runtime_id} has no {identity}")


@router.get("/api/conversations/{identity}/workspace/{path:path}")
def workspace(box: Opened, fault: Wrong, path: str) -> FileResponse:
    return _file(box, unquote(path) if fault is Fault.PATH_TIDIED else path)


@router.post("/api/conversations/{identity}/events")
async def say(box: Opened, fault: Wrong, identity: str, body: dict[str, Any]) -> None:
    text = json.dumps({"kind": "MessageEvent", "llm_message": {"content": body["content"]}})
    for socket in list(box.conversations[identity]):
        if fault is Fault.SOCKET_FRAME_LIMIT and len(text) > _CAP:
            await socket.close(1009)
        else:
            await socket.send_text(text)


def _file(box: Box, path: str) -> FileResponse:
    if not box.path(path).is_file():
        raise HTTPException(404, "no such file")
    return FileResponse(box.path(path))


@router.websocket("/sockets/events/{identity}")
@router.websocket("/sockets/bash-events")
async def events(socket: WebSocket, identity: str = "") -> None:
    boxes = _boxes(socket)
    key = socket.headers.get("x-session-api-key")
    if key is not None and (refused := _refusal(boxes.by_key(key), boxes.fault)):
        await socket.send_denial_response(Response(status_code=refused[0]))
        return
    await socket.accept()
    if key is None:
        key = (await socket.receive_json())["session_api_key"]
    box = boxes.by_key(key)
    if refused := _refusal(box, boxes.fault):
        await socket.close(refused[1])
        return
    assert isinstance(box, Box)
    if identity in box.conversations:
        await _serve(socket, box.conversations[identity], boxes.fault)
    else:
        await socket.close(1011 if boxes.fault is Fault.CLOSE_CODE_LOST else 4004)


async def _serve(socket: WebSocket, open_ones: set[WebSocket], fault: Fault) -> None:
    open_ones.add(socket)
    try:
        await socket.send_json(_STATE)
        while True:
            async with asyncio.timeout(_SILENCE if fault is Fault.SILENT_SOCKET_CUT else None):
                text = await socket.receive_text()
            if fault is Fault.SOCKET_MESSAGE_LIMIT and len(text) > _CAP:
                await socket.close(1009)
                return
            await socket.send_json({"kind": "ServerErrorEvent", "code": "ValidationError"})
    except WebSocketDisconnect:
        pass
    except TimeoutError:
        await socket.close(1001)
    finally:
        open_ones.discard(socket)


def _refusal(found: Box | str | None, fault: Fault) -> tuple[int, int] | None:
    """Status of the handshake, and code of the close."""
    if found is None:
        return 401, 4001
    if isinstance(found, str):
        return 404, 1000 if fault is Fault.DELETED_SOCKET_HANGS_UP else 1008
    if found.status == "paused":
        return 503, {Fault.PAUSED_SOCKET_IS_4004: 4004, Fault.PAUSED_SOCKET_HANGS_UP: 1000}.get(fault, 1013)
    return None
