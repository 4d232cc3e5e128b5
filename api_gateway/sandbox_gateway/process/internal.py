"""The operator's question to a replica, on the port of the probes: `GET /internal/activity`."""

import asyncio
import math
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox_common.activity import CHECK_SECONDS, PATH, encode
from sandbox_common.keys import MasterKeys
from sandbox_common.waiting import set_within
from sandbox_gateway.process.activity import Activity

_FOLLOWED_SECONDS = 2 * CHECK_SECONDS
_HAND_OVER_SECONDS = 1.25 * CHECK_SECONDS
"""The time of one check, and a quarter more, since a check may be late."""


class ActivityReports:
    """Answers requests: 200 with a report, 401 without the internal token, 422 for a bad `within`."""

    def __init__(self, activity: Activity, keys: MasterKeys) -> None:
        self._activity = activity
        self._keys = keys
        self._asked_at = -math.inf
        self._asked = asyncio.Event()
        self.route = Route(PATH, self._answer)

    async def hand_over(self, at_most: float) -> None:
        """Return when the last report has been fetched, since the memory ends with the process.

        Returns at once when nobody asks this replica, else at the latest after one check or `at_most` seconds.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._asked_at > _FOLLOWED_SECONDS:
            return
        self._asked.clear()
        await set_within(self._asked, min(at_most, _HAND_OVER_SECONDS))

    async def _answer(self, request: Request) -> Response:
        if refused := refusal(request, self._keys.is_internal_token):
            return refused
        try:
            within = _seconds(request)
        except ValueError:
            return JSONResponse({"detail": "within: must be a number of seconds, 0 or more"}, 422)
        body = encode(self._activity.report(within))
        self._asked_at = asyncio.get_running_loop().time()
        self._asked.set()
        return Response(body, media_type="application/json")


def refusal(request: Request, is_token: Callable[[str], bool]) -> Response | None:
    """The answer to a request without the internal token; None if it has the token, as `is_token` says."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and is_token(token.strip()):
        return None
    detail = "This is only for the operator, which sends the internal token of the master key."
    return JSONResponse({"detail": detail}, 401, {"WWW-Authenticate": "Bearer"})


def _seconds(request: Request) -> float | None:
    texts = request.query_params.getlist("within")
    if not texts:
        return None
    if len(texts) > 1:
        raise ValueError
    seconds = float(texts[0])
    if not 0 <= seconds < math.inf:
        raise ValueError
    return seconds
