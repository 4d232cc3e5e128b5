"""What the wrong server can do wrong, one thing at a time."""

from enum import Enum, auto


class Fault(Enum):
    """Each is seen with a client, or in another server that claims this API."""

    NONE = auto()

    # Control plane
    ANY_API_KEY_OPENS = auto()
    EVERY_OWNER_SEES_ALL = auto()
    NULL_POD_STATUS = auto()
    NULL_RESTART_COUNT = auto()
    NULL_SESSION_KEY = auto()
    POLL_REFUSED = auto()
    SESSION_IDS_IGNORE_CASE = auto()
    BATCH_IS_AN_OBJECT = auto()
    BATCH_REFUSES_UNKNOWN = auto()
    CONFLICT_ON_START = auto()
    COMMAND_MUST_BE_A_LIST = auto()
    ENVIRONMENT_EXPANDED = auto()
    URL_WITH_SLASH = auto()
    URL_WITH_PATH = auto()
    NEVER_READY = auto()
    STATUS_IN_CAPITALS = auto()
    KEY_ROTATED = auto()
    RESUME_WITHOUT_KEY = auto()
    READY_TOO_EARLY = auto()
    PAUSE_WITHOUT_EFFECT = auto()
    STOP_WITHOUT_EFFECT = auto()
    STOP_TWICE_FAILS = auto()
    PAUSED_ARE_LISTED = auto()
    LIST_REDIRECTED = auto()
    RUNTIME_WITHOUT_POD_STATUS = auto()
    EXISTS_WITHOUT_IMAGE = auto()
    WARM_CONFIG_WITHOUT_COMMAND = auto()
    ERRORS_ARE_TEXT = auto()
    NULL_SESSION_ACCEPTED = auto()
    WORKSPACE_LOST = auto()

    # Data plane
    HEALTH_NEEDS_KEY = auto()
    SESSION_KEY_UNCHECKED = auto()
    BODY_CAP = auto()
    PATH_TIDIED = auto()
    PAUSED_IS_404 = auto()
    PAUSED_IS_502 = auto()
    DELETED_IS_503 = auto()
    CLOSE_CODE_LOST = auto()
    SOCKET_FRAME_LIMIT = auto()
    PAUSE_CLOSES_NORMALLY = auto()
    PAUSED_SOCKET_IS_4004 = auto()
    PAUSED_SOCKET_HANGS_UP = auto()
