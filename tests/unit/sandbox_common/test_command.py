"""The agent server's port, as read from its command."""

import pytest

from sandbox_common.command import agent_port, options, present_port
from sandbox_crds.models import Sandbox

BINARY = "/usr/local/bin/openhands-agent-server"


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ([], 60000),
        ([BINARY], 8000),
        ([BINARY, "--port", "60000"], 60000),
        ([BINARY, "--port=9"], 9),
        ([BINARY, "--port", "9", "--port", "10"], 10),
        ([BINARY, "--port"], 8000),
        ([BINARY, "--port", "many"], 8000),
        ([BINARY, "--port", "0"], 8000),
        ([BINARY, "--port", "65536"], 8000),
        ([BINARY, "--port", "٣"], 8000),
    ],
)
def test_agent_port(command: list[str], port: int) -> None:
    assert agent_port(command) == port


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ([], ["--host", "0.0.0.0", "--port", "60000"]),  # noqa: S104
        ([BINARY], []),
        ([BINARY, "--port", "60000"], ["--port", "60000"]),
        (["agent-server", "--port=9"], ["--port=9"]),
        (["/agent-server/.venv/bin/python", "-m", "openhands.agent_server", "--port", "9"], ["--port", "9"]),
        (["/bin/sh", "-c", f"exec {BINARY}"], None),
        (["python", "-m", "http.server"], None),
        (["nginx"], None),
    ],
)
def test_options_of_an_agent_server(command: list[str], given: list[str] | None) -> None:
    found = options(command)
    assert (None if found is None else list(found)) == given


@pytest.mark.parametrize(("ports", "port"), [({"http": 60000}, 60000), ({"work-1": 5}, 9), ({}, 9)])
def test_the_pod_says_where_the_agent_server_listens_and_without_one_the_spec(ports: dict[str, int], port: int) -> None:
    body = {"spec": {"image": "i", "command": [BINARY, "--port=9"]}, "status": {"ports": ports}}
    assert present_port(Sandbox.model_validate(body)) == port
