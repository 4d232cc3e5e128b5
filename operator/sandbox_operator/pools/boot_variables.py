"""Environment variables that an agent server reads while it boots, so that setting them later has no effect."""

from pathlib import Path

_FAMILIES = (
    "OH",
    "OPENHANDS_",
    "PYTHON",
    "_PYTHON",
    "LD_",
    "LC_",
    "MALLOC_",
    "GLIBC_",
    "TMUX",
    "LOG_",
    "OTEL_",
    "LITELLM_",
    "BROWSER_USE_",
    "FASTMCP_",
    "GRPC_",
    "SSL_",
    "GIT_CONFIG_",  # the script that starts the agent server adds to a client's own (builders/launch.py)
)
_OF_THE_PROCESS = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "HOSTNAME",
        "PWD",
        "DISPLAY",
        "TERM",
        "TZ",
        "RES_OPTIONS",
        "LOCALDOMAIN",
        "HOSTALIASES",
        "OPENSSL_CONF",
        "OPENSSL_MODULES",
        "SSLKEYLOGFILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        # Read when an HTTP client is made, which also happens during the boot.
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
    }
)
_READ_LATE = frozenset(
    {
        # Read whenever a conversation starts (openhands_agent_server 1.58.2, managed_llm_key.py).
        "OH_LLM_API_KEY_REFRESH_URL",
        "OH_LLM_API_KEY_REFRESH_BASE_URLS",
        "OH_LLM_API_KEY_REFRESH_HEADERS",
    }
)
"""Exceptions to the families."""
_SEEN = frozenset(Path(__file__).with_name("boot_variables.txt").read_text().split())
"""What openhands_agent_server 1.58.2 was observed to read; most names are constants of its LLM library."""


def is_read_at_boot(name: str) -> bool:
    """Whether the agent server reads this variable only while it boots."""
    if name in _READ_LATE:
        return False
    return name in _SEEN or name.upper() in _OF_THE_PROCESS or name.startswith(_FAMILIES)
