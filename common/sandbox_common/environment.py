"""Environment variables of agent servers that belong to the project, not to clients."""

SESSION_KEY = "OH_SESSION_API_KEYS_0"
"""The sandbox's session key, also as an entry of its pod's Secret."""
SECRET_KEY = "OH_SECRET_KEY"  # noqa: S105
"""The key with which the agent server encrypts secrets at rest; an entry of the same Secret."""

SANDBOX_CLASS = "OHSB_CLASS"
"""In a client's environment: `sandbox_class` of /start, for clients that cannot send other fields, such as the SDK."""
PENDING_TIMEOUT = "OHSB_PENDING_TIMEOUT_SECONDS"
"""The same for `pending_timeout_seconds`."""

INSTRUCTIONS = frozenset({SANDBOX_CLASS, PENDING_TIMEOUT})
"""Variables that the gateway reads from a client's environment."""

_RESERVED = frozenset({"OH", "SESSION_API_KEY", SECRET_KEY, "OH_LEASE_TTL_SECONDS", "OH_DEFERRED_INIT"})
"""`OH` may contain the whole configuration as JSON, including further session keys."""
_FOR_THE_GATEWAY = "OHSB_"
"""Variables with this prefix are for the gateway, and not part of the environment."""
_RESERVED_LIST = "OH_SESSION_API_KEYS"
"""The agent server reads this list as JSON, or one by one from variables with an index at the end."""


def is_reserved(name: str) -> bool:
    """Whether this variable belongs to the operator (keys, conversation lease, deferred initialization) or the gateway.

    Source: openhands_agent_server 1.58.2, `config.py` and `env_parser.py`.
    """
    return name in _RESERVED or name.startswith((_RESERVED_LIST, _FOR_THE_GATEWAY))
