"""The gateway's refusals, with HTTP status and a text for the client."""

from sandbox_gateway.contract.retry import Passing


class GatewayError(Exception):
    """A refusal; the client reads `detail`. `passing` is set if another attempt may succeed."""

    status = 500
    passing: Passing | None = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NoSandboxError(GatewayError):
    """There is no such sandbox, or it is another owner's."""

    status = 404

    def __init__(self) -> None:
        super().__init__("There is no such sandbox. Start one with POST /start.")


class LimitReachedError(GatewayError):
    """A limit of the API key's owner leaves no room, and probably will not in time."""

    status = 429
    passing = Passing.LIMIT


class TooManyStreamsError(GatewayError):
    """The owner, or the process, has too many streams open."""

    status = 429
    passing = Passing.TOO_MANY_STREAMS

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. Close one of them, and call again.")


class NotAllowedError(GatewayError):
    """The gateway's settings or the API key's policy forbid it."""

    status = 403


class NotResumableError(GatewayError):
    """The sandbox is in a state from which it never runs again."""

    status = 409

    def __init__(self) -> None:
        super().__init__("The sandbox is being deleted, so it cannot be resumed. Start one with POST /start.")


class WouldLoseWorkspaceError(GatewayError):
    """A pause would delete the sandbox's only copy of its workspace."""

    status = 409

    def __init__(self, class_name: str) -> None:
        super().__init__(
            "A pause would lose /workspace and its conversations, because this sandbox has no volume. It runs on, and "
            "nothing was changed. To pause sandboxes, start them with a SandboxClass that has workspace.persistent, or "
            f"have an administrator accept the loss: workspace.discardOnSuspension of SandboxClass {class_name}. "
            "POST /stop ends this sandbox with its workspace."
        )


class NoLogError(GatewayError):
    """The sandbox has no pod, and so no log."""

    status = 409

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"Sandbox {name} has no log, because it has no pod: it is {state}. GET /explain/{name} says why, with the "
            "last lines of its log; POST /resume runs it again."
        )


class NoLogYetError(GatewayError):
    """The sandbox is starting."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Sandbox {name} has no log yet, because it is starting. GET /explain/{name} says how far it is."
        )


class LogUnreachableError(GatewayError):
    """The node of the sandbox, or the API server, does not answer."""

    status = 503
    passing = Passing.UNREACHABLE

    def __init__(self) -> None:
        super().__init__(
            "The log cannot be read: the node of the sandbox, or the Kubernetes API server, does not answer. Try again "
            "in a moment."
        )


class TakenError(GatewayError):
    """Another Sandbox has the name that the session's Sandbox needs."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The sandbox of this session needs the name {name}, and a Sandbox with that name exists that belongs to "
            "somebody else. Use another session_id, or have an administrator delete that Sandbox: "
            f"`kubectl delete ohsb {name}`."
        )


class InvalidRequestError(GatewayError):
    """The request cannot be carried out as it stands."""

    status = 422


class UnavailableError(GatewayError):
    """Something that the gateway needs is missing at the moment."""

    status = 503


class BeingDeletedError(UnavailableError):
    """The session's old sandbox is still being deleted."""

    passing = Passing.BEING_DELETED

    def __init__(self) -> None:
        super().__init__("The session's old sandbox is still being deleted. Try again in a moment.")


class NotOfferedError(GatewayError):
    """A part of the Runtime API that this gateway does not offer."""

    status = 501
