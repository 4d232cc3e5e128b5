"""The names that gateways of tests and measurements give to sandboxes."""

from sandbox_crds import names

NAMING = b"naming-key-of-the-tests-0123456789abcdef"
"""The naming key of everything that a test starts."""


def runtime_id(owner: str, session_id: str) -> str:
    """The runtime id of a session's new sandbox."""
    return names.runtime_id(owner, session_id, NAMING)
