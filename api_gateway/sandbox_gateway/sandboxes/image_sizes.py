"""What the operator asks about an image that a node pulls, on the port of the probes: `GET /internal/image-size`."""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox_common.image_size import ANSWER_SECONDS, PATH, encode
from sandbox_common.recent import remember
from sandbox_crds.image_references import Reference
from sandbox_gateway.process.internal import refusal
from sandbox_gateway.registry.images import Images
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets

_PINNED = "@"
_TAG_SECONDS = 600.0
"""A tag may be moved."""

type _Question = tuple[str, str, str]


class ImageSizes:
    """Asks registries as /image_exists does, and keeps what they say. `is_token` knows the internal token."""

    def __init__(self, images: Images, pull_secrets: PullSecrets, is_token: Callable[[str], bool]) -> None:
        self._images = images
        self._pull_secrets = pull_secrets
        self._is_token = is_token
        self._answers: dict[_Question, asyncio.Task[int]] = {}
        self.route = Route(PATH, self._answer)

    async def _answer(self, request: Request) -> Response:
        if refused := refusal(request, self._is_token):
            return refused
        image, owner, class_name = (request.query_params.get(name, "") for name in ("image", "owner", "class"))
        try:
            reference = Reference.parse(image)
        except ValueError as error:
            return JSONResponse({"detail": f"image: {error}"}, 422)
        question = image, owner, class_name
        answer = self._answers.get(question)
        if answer is None:
            answer = asyncio.create_task(self._size(reference, owner, class_name))
            remember(self._answers, question, answer)
            answer.add_done_callback(lambda done: self._keep(question, done))
        size = 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                size = await asyncio.shield(answer)
        except TimeoutError:
            pass
        return Response(encode(size), media_type="application/json")

    async def _size(self, image: Reference, owner: str, class_name: str) -> int:
        answer = await self._images.look(image, lambda: self._pull_secrets.read(owner, class_name))
        return answer.image.image_size_bytes

    def _keep(self, question: _Question, answer: asyncio.Task[int]) -> None:
        """For good if it cannot change, else for a while. What is not known may be known soon, so it is not kept."""
        if answer.cancelled() or answer.exception() or not answer.result():
            # The operator asks again, ever more seldom.
            self._forget(question, answer)
        elif _PINNED not in question[0]:
            asyncio.get_running_loop().call_later(_TAG_SECONDS, self._forget, question, answer)

    def _forget(self, question: _Question, answer: asyncio.Task[int]) -> None:
        if self._answers.get(question) is answer:
            del self._answers[question]
