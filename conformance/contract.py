"""The suite's sections, the clients that its tests speak for, and the contract's fixed words and numbers."""

from dataclasses import dataclass
from enum import StrEnum

import pytest


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the contract; its tests are in `checks/<module>.py`."""

    key: str
    title: str
    module: str


SECTIONS = (
    Section("A2", "GET /sessions/{session_id}", "a2_sessions"),
    Section("A3", "GET /sessions/batch", "a3_batch"),
    Section("A4", "POST /start", "a4_start"),
    Section("A5", "POST /resume", "a5_resume"),
    Section("A6", "POST /pause", "a6_pause"),
    Section("A7", "POST /stop", "a7_stop"),
    Section("A8", "GET /list", "a8_list"),
    Section("A9", "GET /runtime/{runtime_id}", "a9_runtime"),
    Section("A10", "Images", "a10_images"),
    Section("A11", "Warm configurations", "a11_warm_configs"),
    Section("A12", "Status codes", "a12_codes"),
    Section("B", "States", "b_states"),
    Section("C-HTTP", "Data plane, HTTP", "c_http"),
    Section("C-WS", "Data plane, WebSocket", "c_websocket"),
    Section("SDK", "The unmodified SDK", "sdk"),
)


class Client(StrEnum):
    """The clients that rely on it."""

    SDK = "SDK"
    """openhands_workspace 1.58.2, `APIRemoteWorkspace`, with openhands_sdk 1.58.2."""
    APP = "app"
    """openhands_ai 1.11.0, `remote_sandbox_service` and `dynamic_remote_sandbox_spec_service`."""
    V0 = "V0"
    """`RemoteRuntime` and its image builder, of OpenHands before its version 1."""
    SAAS = "SaaS"
    """`saas_nested_conversation_manager` of the same time."""
    BENCHMARKS = "benchmarks"
    """OpenHands/benchmarks, through the SDK; its `failure_classifier` reads the errors."""
    WEB = "web"
    """The web client: browsers that talk to a sandbox directly."""


class Weight(StrEnum):
    """What it means when a test fails."""

    REQUIRED = "required"
    """A client breaks: the server does not conform."""
    RECOMMENDED = "recommended"
    """A client still works, but worse; or it would break in a case that this suite cannot cause."""


def required(*clients: Client) -> pytest.MarkDecorator:
    """These clients break without it."""
    return pytest.mark.contract(Weight.REQUIRED, clients)


def recommended(*clients: Client) -> pytest.MarkDecorator:
    """Good practice; these clients profit."""
    return pytest.mark.contract(Weight.RECOMMENDED, clients)


class Blocked(Exception):
    """A test cannot run, since something failed that another test reports."""


SDK_POLL_SECONDS = 60.0
"""Read time-out of APIRemoteWorkspace for whatever names no other (`api_timeout`)."""
SDK_START_SECONDS = 300.0
"""Its time-out of /start and /resume (`init_timeout`)."""
SDK_END_SECONDS = 30.0
"""Its time-out of /pause and /stop."""
APP_SECONDS = 15.0
"""remote_sandbox_service's time-out of every call."""

POD_STATUSES = frozenset({"ready", "pending", "running", "not found", "failed", "unknown", "crashloopbackoff"})
FATAL_POD_STATUSES = frozenset({"failed", "unknown", "crashloopbackoff"})
"""Those that end a client's start for good."""
STATUSES = frozenset({"starting", "running", "paused", "stopped", "error"})

FINAL_CLOSE_CODES = frozenset({4001, 4004})
"""Close codes after which the SDK never reconnects. Only the agent server may send them."""
NORMAL_CLOSE_CODES = frozenset({1000, 1001})
"""Close codes after which the SDK reconnects at once, without a pause and without end."""
