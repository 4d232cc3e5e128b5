"""The control plane that the tests of this tier use."""

import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from local_cluster import build
from local_cluster.api import Api
from local_cluster.audit_log import events
from local_cluster.control_plane import ControlPlane
from local_cluster.errors import ClusterError
from local_cluster.pki import Pki
from local_cluster.processes import Process, running, wait_gone

STARTED_AND_KILLED = """
import time
from local_cluster.control_plane import ControlPlane
print(ControlPlane().directory, flush=True)
time.sleep(600)
"""


def processes_of(directory: Path) -> list[Process]:
    """The processes that name this directory in their arguments."""
    return [process for process, proc in running() if str(directory).encode() in (proc / "cmdline").read_bytes()]


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> list[str]:
    return [str(build.binary("kubectl")), f"--kubeconfig={control_plane.kubeconfig}"]


def test_every_write_is_in_the_audit_log_when_its_answer_comes(control_plane: ControlPlane, kubectl: list[str]) -> None:
    name = f"audited-{time.monotonic_ns()}"
    subprocess.run([*kubectl, "create", "configmap", name], check=True, capture_output=True)
    logged = events(control_plane.audit_log)
    written = [event for event in logged if event["verb"] == "create" and event["requestURI"].startswith("/api/v1/")]
    names = [event["objectRef"].get("name") for event in written]
    assert names.count(name) == 1
    (event,) = (event for event in written if event["objectRef"].get("name") == name)
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["responseStatus"]["code"] == 201
    assert "requestObject" not in event


def test_rights_are_asked_for(kubectl: list[str]) -> None:
    anybody = subprocess.run([*kubectl, "get", "secrets", "--as=anybody"], capture_output=True, text=True)
    assert anybody.returncode != 0
    assert 'User "anybody" cannot list resource "secrets"' in anybody.stderr


def test_nobody_is_trusted_without_a_certificate(control_plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=str(control_plane.directory / "pki" / "ca.crt"))
    with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
        urllib.request.urlopen(f"{control_plane.url}/api/v1/secrets", context=context)  # noqa: S310
    refusal.value.close()


def test_two_run_side_by_side_and_stopping_one_leaves_nothing_of_it(control_plane: ControlPlane) -> None:
    with ControlPlane() as other:
        directory = other.directory
        assert other.url != control_plane.url
        assert len(processes_of(directory)) == 2
    assert not directory.exists()
    assert processes_of(directory) == []
    assert Api(control_plane.url, Pki(control_plane.directory / "pki")).ready()
    other.stop()  # nothing to do


def test_a_restarted_api_server_has_its_objects_and_its_address() -> None:
    with ControlPlane() as other:
        kubectl = [str(build.binary("kubectl")), f"--kubeconfig={other.kubeconfig}"]
        subprocess.run([*kubectl, "create", "configmap", "kept"], check=True, capture_output=True)
        before = other.processes()["kube-apiserver"]
        other.restart_server()
        assert other.processes()["kube-apiserver"] != before
        subprocess.run([*kubectl, "get", "configmap", "kept"], check=True, capture_output=True)


def test_a_controller_that_has_ended_is_started_again() -> None:
    with ControlPlane(scheduler=True) as other:
        before = other.processes()
        assert other.revive_controllers() == []
        before["kube-scheduler"].signal(signal.SIGKILL)
        assert wait_gone([before["kube-scheduler"]], 30) == []
        assert other.revive_controllers() == ["kube-scheduler"]
        after = other.processes()
        assert after["kube-scheduler"].alive()
        assert after["kube-apiserver"] == before["kube-apiserver"]


def test_a_killed_test_run_leaves_no_daemon() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTED_AND_KILLED], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        directory = Path(started.stdout.readline().strip())
        daemons = processes_of(directory)
        assert len(daemons) == 2
        started.send_signal(signal.SIGKILL)
    assert wait_gone(daemons, 30) == []
    shutil.rmtree(directory)


def test_an_etcd_that_cannot_start_is_reported_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho 'cannot listen' >&2\nexit 1\n")
    broken.chmod(0o755)
    real = build.binary
    found = {"etcd": broken}
    monkeypatch.setattr(build, "binary", lambda name, family="": found.get(name) or real(name, family))  # pyright: ignore
    with pytest.raises(ClusterError, match="etcd ended") as failure:
        ControlPlane()
    assert "cannot listen" in str(failure.value)
    assert failure.value.log is not None
    directory = failure.value.log.parents[1]
    assert processes_of(directory) == []
    shutil.rmtree(directory)
