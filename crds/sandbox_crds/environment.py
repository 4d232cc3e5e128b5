"""Names of environment variables that clients may not set, since the operator owns them."""

_RESERVED = frozenset({"OH", "SESSION_API_KEY", "OH_SECRET_KEY", "OH_LEASE_TTL_SECONDS", "OH_DEFERRED_INIT"})
"""`OH` can hold the whole configuration as JSON, so also further session keys."""
_RESERVED_LIST = "OH_SESSION_API_KEYS"
"""The agent server reads lists as JSON from this name, or one by one with an index behind it."""


def is_reserved(name: str) -> bool:
    """Whether the operator owns this variable: keys, conversation lease and deferred start of the agent server.

    Source: openhands_agent_server 1.58.2, `config.py` and `env_parser.py`.
    """
    return name in _RESERVED or name.startswith(_RESERVED_LIST)
