"""Where a port of this machine leads, and why it leads nowhere."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.main import ohsb
from kubectl_ohsb.sandboxes import opening
from kubectl_ohsb.sandboxes.opening import Way, forwarding, url_of, way_to
from kubectl_ohsb.sandboxes.store import Store
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox, SandboxClassSpec
from unit.sandbox_gateway.support import sandbox, status

WAY = Way("sb-a", "vscode", "rooms", "sb-a-1", 60001)


def ready(**fields: Any) -> Sandbox:
    return sandbox(**{"status": status(Reason.READY) | {"podName": "sb-a-1"}, **fields})


@pytest.mark.parametrize(("service", "port"), [("agent-server", 60000), ("vscode", 60001), ("work-2", 12001)])
def test_each_service_has_its_port(service: str, port: int) -> None:
    assert way_to(ready(), None, service, "rooms") == Way("sb-a", service, "rooms", "sb-a-1", port)


def test_ports_of_the_present_pod_count() -> None:
    seen = ready(status=status(Reason.READY) | {"podName": "sb-a-1", "ports": {"http": 8000, "work-1": 3000}})
    assert way_to(seen, None, "agent-server", "rooms").port == 8000
    assert way_to(seen, None, "work-1", "rooms").port == 3000


def test_a_service_that_the_class_does_not_have() -> None:
    class_ = SandboxClassSpec.model_validate({"servicePorts": {"vscode": 0}})
    with pytest.raises(Refusal, match="no service vscode; it has: agent-server, work-1, work-2"):
        way_to(ready(), class_, "vscode", "rooms")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"spec": {"suspend": True}, "status": status(Reason.SUSPENDED)}, "paused, Suspended.*ohsb resume sb-a"),
        ({"status": status(Reason.STARTING) | {"podName": "sb-a-1"}}, "starting, Starting.*ohsb explain sb-a"),
        ({}, "starting.*ohsb explain sb-a"),
    ],
)
def test_one_that_is_not_ready_says_what_to_do(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        way_to(sandbox(**fields), None, "agent-server", "rooms")


def test_kubectl_gets_the_same_cluster() -> None:
    command = forwarding("/bin/kubectl", Target(None, "there", "config"), WAY, 4000)
    assert command[:2] == ["/bin/kubectl", "port-forward"]
    assert set(command[2:]) == {
        *("--context=there", "--kubeconfig=config", "--namespace=rooms", "--address=127.0.0.1"),
        *("pod/sb-a-1", "4000:60001"),
    }
    assert forwarding("kubectl", Target(), WAY, None)[-1] == ":60001", "kubectl chooses"


def test_only_vscode_has_the_key_in_its_url() -> None:
    assert url_of(WAY, 4000, "") == "http://127.0.0.1:4000/"
    assert url_of(WAY, 4000, "a+key") == "http://127.0.0.1:4000/?tkn=a%2Bkey&folder=%2Fworkspace"
    assert url_of(Way("sb-a", "agent-server", "rooms", "sb-a-1", 60000), 4000, "a+key") == "http://127.0.0.1:4000/"


LISTENS = "print('Forwarding from 127.0.0.1:4000 -> 60000', 'Handling connection for 4000', sep=chr(10))"


@pytest.mark.parametrize(
    ("program", "options", "printed"),
    [
        (LISTENS, [], "http://127.0.0.1:4000/\n"),
        (LISTENS, ["--show-key"], "http://127.0.0.1:4000/\nX-Session-API-Key: the-key\n"),
        # Whoever listens at that port must not get the key.
        ("import sys; sys.exit('unable to listen on port 4000')", ["--show-key", "--local-port=4000"], ""),
    ],
)
def test_a_forwarding_that_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, options: list[str], printed: str
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!{sys.executable}\n{program}\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    way = Way("sb-a", "agent-server", "rooms", "sb-a-1", 60000)

    def looked_at(*_: Any) -> tuple[Way, str]:
        return way, "the-key" if "--show-key" in options else ""

    monkeypatch.setattr(opening, "run", looked_at)
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(ohsb, ["open", "sb-a", *options])
    assert (done.exit_code, done.stdout) == (1, printed)
    assert "kubectl port-forward has ended: see kubectl ohsb explain sb-a" in done.stderr
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(ohsb, ["open", "sb-a"])
    assert (done.exit_code, "install it" in done.stderr) == (1, True)


async def test_a_sandbox_without_keys() -> None:
    class Empty:
        async def find(self, *_: Any) -> None:
            return None

    with pytest.raises(Refusal, match="no Secret sb-a-1"):
        await opening._session_key(Store(Empty(), "rooms"), "sb-a-1")  # pyright: ignore


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--local-port", "0", "sb-a"], "--local-port"),
        (["--service", "ssh", "sb-a"], "--service"),
        (["../x"], "../x"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(ohsb, ["open", *arguments])
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
