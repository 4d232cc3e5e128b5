"""Names of environment variables that agent servers do not get from clients."""

SANDBOX_CLASS = "OHSB_CLASS"
"""In a client's environment: `sandbox_class` of its /start, for clients that can send nothing else, such as the SDK."""
PENDING_TIMEOUT = "OHSB_PENDING_TIMEOUT_SECONDS"
"""Likewise `pending_timeout_seconds`."""

INSTRUCTIONS = frozenset({SANDBOX_CLASS, PENDING_TIMEOUT})
"""What the gateway reads in a client's environment."""

_RESERVED = frozenset({"OH", "SESSION_API_KEY", "OH_SECRET_KEY", "OH_LEASE_TTL_SECONDS", "OH_DEFERRED_INIT"})
"""`OH` can hold the whole configuration as JSON, so also further session keys."""
_FOR_THE_GATEWAY = "OHSB_"
"""What begins so is said to the gateway, and is no part of the environment."""
_RESERVED_LIST = "OH_SESSION_API_KEYS"
"""The agent server reads lists as JSON from this name, or one by one with an index behind it."""


def is_reserved(name: str) -> bool:
    """Whether the operator owns this variable (keys, conversation lease and deferred start of the agent server), or it
    is for the gateway.

    Source: openhands_agent_server 1.58.2, `config.py` and `env_parser.py`.
    """
    return name in _RESERVED or name.startswith((_RESERVED_LIST, _FOR_THE_GATEWAY))
