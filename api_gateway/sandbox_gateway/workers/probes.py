"""The answers of a replica of several workers on the port of its probes: it asks each worker, and merges."""

import asyncio
from collections.abc import Callable, Mapping

import httpx
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox_common import image_size
from sandbox_common.activity import PATH, decode, encode
from sandbox_gateway.workers.merging import merge_metrics, merge_reports

_SECONDS = 3.0
"""How long a worker may take to answer."""

type Answers = Mapping[str, httpx.Response | None]
"""By worker; None where nobody listens (yet)."""


class MergedProbes:
    """`/healthz`: no worker hangs. `/readyz`: a worker serves, and connections reach no other. `/metrics` of all.
    `/internal/activity` if all workers answer, since a missing one may know of activity that no other knows of.
    `/internal/image-size` of the first worker that answers.

    `sockets` gives the paths of the workers' Unix sockets, by worker.
    """

    def __init__(self, sockets: Callable[[], Mapping[str, str]]) -> None:
        self._sockets = sockets
        self.app = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Route(PATH, self._activity),
                Route(image_size.PATH, self._image_size),
            ]
        )

    async def _healthz(self, request: Request) -> Response:
        try:
            answers = await self._ask(request, self._sockets())
        except httpx.TimeoutException:
            return PlainTextResponse("a worker does not answer", 503)
        return PlainTextResponse("ok") if _good(answers) else PlainTextResponse("no worker answers", 503)

    async def _readyz(self, request: Request) -> Response:
        ready = _good(await self._ask(request, self._sockets(), patient=False))
        return PlainTextResponse("ok") if ready else PlainTextResponse("not ready", 503)

    async def _metrics(self, request: Request) -> Response:
        texts = {
            worker: answer.text
            for worker, answer in _good(await self._ask(request, self._sockets(), patient=False)).items()
        }
        return Response(merge_metrics(texts), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _activity(self, request: Request) -> Response:
        answers = await self._ask(request, self._sockets(), patient=False)
        for answer in answers.values():
            if answer is not None and answer.is_client_error:
                return Response(answer.content, answer.status_code, answer.headers)
        good = _good(answers)
        if not good or len(good) < len(answers):
            return JSONResponse({"detail": "A worker of this replica does not answer. Ask again."}, 503)
        report = merge_reports(decode(answer.content) for answer in good.values())
        return Response(encode(report), media_type="application/json")

    async def _image_size(self, request: Request) -> Response:
        for worker, path in self._sockets().items():
            # One is enough: each of them would ask the registry.
            answer = (await self._ask(request, {worker: path}, patient=False))[worker]
            if answer is not None:
                return Response(answer.content, answer.status_code, media_type="application/json")
        return JSONResponse({"detail": "No worker of this replica answers. Ask again."}, 503)

    async def _ask(self, request: Request, sockets: Mapping[str, str], *, patient: bool = True) -> Answers:
        """The same request to each worker. Raises httpx.TimeoutException if `patient`; else that is no answer."""
        url = str(request.url.replace(scheme="http", netloc="worker"))
        token = request.headers.get("Authorization")
        headers = {} if token is None else {"Authorization": token}

        async def ask(path: str) -> httpx.Response | None:
            transport = httpx.AsyncHTTPTransport(uds=path)
            async with httpx.AsyncClient(transport=transport, timeout=_SECONDS, trust_env=False) as http:
                try:
                    return await http.get(url, headers=headers)
                except httpx.TimeoutException:
                    if patient:
                        raise
                except httpx.TransportError:
                    pass
                return None

        return dict(zip(sockets, await asyncio.gather(*map(ask, sockets.values())), strict=True))


def _good(answers: Answers) -> dict[str, httpx.Response]:
    return {worker: answer for worker, answer in answers.items() if answer is not None and answer.is_success}
