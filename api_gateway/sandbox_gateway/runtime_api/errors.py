"""Every refusal is a JSON object with `detail`, a string for people. It never has a value that a client sent."""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import aiohttp
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sandbox_common.kube import ApiError
from sandbox_gateway.contract.errors import GatewayError
from sandbox_gateway.contract.retry import RETRY, Passing

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_OVERLOADED = "The Kubernetes API server is overloaded or unreachable."
_NAMESPACE_ENDS = "The namespace of this service is being deleted, so no sandbox can start. Ask its administrator."
_SHOWN = 10
"""The most errors of a body that a refusal lists."""


def add_error_handlers(app: FastAPI) -> None:
    """Register all of them."""
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for kind, handler in OF_SERVICES.items():
        app.add_exception_handler(kind, handler)


def _answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    # A client's text may have lone surrogates, which no encoding can carry.
    return JSONResponse({"detail": detail.encode(errors="backslashreplace").decode()}, status, headers)


def _for_now(why: Passing, detail: str, seconds: float | None = None) -> JSONResponse:
    """A refusal after which another attempt may succeed, after `seconds` if they are known."""
    status, usual = RETRY[why]
    return _answer(status, detail, {"Retry-After": str(ceil(usual if seconds is None else seconds))})


def _overloaded(asked: float | None = None) -> JSONResponse:
    """All attempts failed. `asked` is the pause in seconds that the API server asked for, if any."""
    seconds = max(ceil(asked or 0.0), RETRY[Passing.API_SERVER][1])
    return _for_now(Passing.API_SERVER, f"{_OVERLOADED} Retry in {seconds} s.", seconds)


def _gateway_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)  # noqa: S101
    return _answer(error.status, error.detail) if error.passing is None else _for_now(error.passing, error.detail)


def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = error.errors()
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return _answer(422, "; ".join([*map(_describe, found[:_SHOWN]), *more]))


def _describe(entry: Mapping[str, Any]) -> str:
    location, kind, message = entry["loc"], entry["type"], entry["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return f"body: is not valid JSON (position {location[-1]})"
    if kind == "string_too_long":
        message += f", not {len(entry['input'])}"
    field = ".".join(str(part)[:64] for part in location[1:] if part != "[key]") or "body"
    return f"{field}: {message}"


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code in {404, 405}:
        return _answer(error.status_code, f"The Runtime API has no {request.method} {request.url.path}", error.headers)
    if error.status_code == 400:
        # FastAPI's answer when the JSON parser fails: wrong encoding, too deep, too long a number.
        return _answer(422, "body: is not valid JSON")
    return _answer(error.status_code, str(error.detail), error.headers)


def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)  # noqa: S101
    _log.warning("API server refused", path=request.url.path, code=error.code, reason=error.reason, message=str(error))
    if error.over_quota:
        return _for_now(Passing.QUOTA, f"The cluster's quota leaves no room: {error.message}")
    if error.namespace_ends:
        return _for_now(Passing.NAMESPACE, _NAMESPACE_ENDS)
    if error.code == 401 or error.lacks_right:
        return _answer(503, "The gateway lacks a permission in the cluster. Ask its administrator to look at its log.")
    if error.code in {400, 403, 413, 422}:
        return _answer(422, f"The cluster refuses this sandbox: {error.message}")
    return _overloaded(error.retry_after)


def _unreachable(request: Request, error: Exception) -> JSONResponse:
    problem = str(error) or type(error).__name__
    _log.warning("API server not reached", path=request.url.path, error=problem)
    return _overloaded()


def _bug(_: Request, __: Exception) -> JSONResponse:
    # The server logs the exception itself.
    return _answer(500, "The gateway failed. Its log says why.")


OF_SERVICES: Mapping[type[Exception], Callable[[Request, Exception], JSONResponse]] = {
    GatewayError: _gateway_error,
    ApiError: _api_error,
    **dict.fromkeys((aiohttp.ClientError, ConnectionError, TimeoutError), _unreachable),
    Exception: _bug,
}
"""The refusals for everything that the parts below the API raise."""
