"""What the OpenAPI description says of each answer: examples of success, and of every refusal."""

from typing import Any

from sandbox_gateway.contract.responses import ErrorResponse

type Responses = dict[int | str, dict[str, Any]]

_REFUSALS: dict[int, tuple[str, str]] = {
    401: ("The API key is missing or unknown.", "X-API-Key is not a known API key"),
    403: (
        "The gateway or the API key does not allow it; `detail` names the field, the list or limit, and what is "
        "allowed.",
        "image: 'docker.io/library/busybox' is not allowed by your API key's list (images in its policy). Allowed are: "
        "ghcr.io/openhands/*.",
    ),
    404: (
        "There is no such sandbox, or it belongs to another API key.",
        "There is no such sandbox. Start one with POST /start.",
    ),
    408: ("The body did not come within a minute.", "The body did not come in time."),
    409: (
        "The sandbox is being deleted (/resume), it has no pod (/logs), its workspace would be lost (/pause), or "
        "somebody else's Sandbox has the name of the session's (/start).",
        "The sandbox is being deleted, so it cannot be resumed. Start one with POST /start.",
    ),
    413: ("The body is too large.", "The body is larger than 4194304 bytes"),
    422: ("Something is missing or wrong; `detail` names the field.", "image: Field required"),
    429: (
        "The API key's calls of this minute are used up, or a limit of its owner or the namespace's ResourceQuota "
        "leaves no room.",
        "Owner team-a has reached its limit sandboxes=2: 2 sandboxes exist, paused ones included. By age: "
        "sb-3k5w7q (session a-session), sb-x2m4c6 (session another). Stop one of them (POST /stop), or "
        "have the limit raised: `kubectl ohsb keys set`.",
    ),
    501: (
        "Not offered here; `detail` says what to do instead.",
        "This gateway builds no images. Build the image elsewhere, push it to a registry that the cluster's nodes can "
        "pull from, and name it in POST /start.",
    ),
    503: (
        "The Kubernetes API server is overloaded or unreachable, or the gateway lacks a permission there.",
        "The Kubernetes API server is overloaded or unreachable. Retry in 5 s.",
    ),
}


def refusals(*codes: int) -> Responses:
    """Descriptions of these status codes."""
    return {
        code: {
            "model": ErrorResponse,
            "description": _REFUSALS[code][0],
            "content": {"application/json": {"example": {"detail": _REFUSALS[code][1]}}},
        }
        for code in codes
    }


def answers(*codes: int, **examples: Any) -> Responses:
    """Examples of the successful answer by name (`_` stands for a blank), and descriptions of the status codes."""
    named = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    return {200: {"content": {"application/json": {"examples": named}}}, **refusals(*codes)}


def streamed(media_type: str, example: str) -> Responses:
    """An example of a successful answer that is a text of this type."""
    return {200: {"content": {media_type: {"schema": {"type": "string"}, "example": example}}}}


def bodies(**examples: Any) -> dict[str, Any]:
    """Examples of a request's body by name, for FastAPI's `openapi_examples`."""
    return {name.replace("_", " "): {"value": value} for name, value in examples.items()}
