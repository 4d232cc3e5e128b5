"""A small server of the Runtime API of which one thing is wrong."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from unit.conformance import control_plane, data_plane
from unit.conformance.boxes import Boxes
from unit.conformance.faults import Fault


def wrong_server(fault: Fault, directory: Path) -> FastAPI:
    """The whole server; `directory` gets the sandboxes' files, and `state.boxes` of the app has them all."""
    app = FastAPI()
    app.state.boxes = Boxes(fault, directory)

    def error(_: Request, raised: Exception) -> Response:
        status, detail = 422, str(raised)
        if isinstance(raised, HTTPException):
            status, detail = raised.status_code, raised.detail
        return (
            PlainTextResponse(detail, status)
            if fault is Fault.ERRORS_ARE_TEXT
            else JSONResponse({"detail": detail}, status)
        )

    app.add_exception_handler(HTTPException, error)
    app.add_exception_handler(RequestValidationError, error)
    app.include_router(control_plane.router)
    app.include_router(data_plane.router)
    app.include_router(data_plane.router, prefix=control_plane.PREFIX)
    return app
