"""The command line where there is no cluster, or can be none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local_cluster.cli import app

WRAPPER = Path(__file__).parents[4] / "tools" / "local-cluster"
OWN_HELP = ["up", "down", "status", "build", "load-image", "wildcard-dns", "kubeconfig", "exec"]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands as root of a machine without a cluster."""
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", "/nonexistent/cluster")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return CliRunner()


@pytest.mark.parametrize("command", OWN_HELP)
def test_every_command_explains_itself(runner: CliRunner, command: str) -> None:
    shown = runner.invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Usage: local-cluster {command}" in shown.stdout


def test_the_overview_names_every_command(runner: CliRunner) -> None:
    shown = runner.invoke(app, ["--help"]).stdout
    assert all(command in shown for command in [*OWN_HELP, "kubectl", "helm"])


@pytest.mark.parametrize(
    "command",
    [
        ["kubeconfig"],
        ["kubectl", "get", "pods"],
        ["helm", "--help"],
        ["exec", "--", "true"],
        ["load-image", "image.tar"],
        ["wildcard-dns", "sandbox.test", "10.96.0.20"],
    ],
)
def test_without_a_cluster_the_remedy_is_to_bring_one_up(runner: CliRunner, command: list[str]) -> None:
    refused = runner.invoke(app, command)
    assert refused.exit_code == 1
    assert refused.stderr.splitlines() == ["local-cluster: there is no cluster", "  remedy: tools/local-cluster up"]


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["kubectl", "get", "pods"]])
def test_without_root_the_other_ways_are_named(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = runner.invoke(app, command)
    assert refused.exit_code == 1
    assert "needs root" in refused.stderr
    assert "kind" in refused.stderr
    assert "CLUSTER=current" in refused.stderr


def test_other_systems_than_linux_are_refused(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    refused = runner.invoke(app, ["up"])
    assert refused.exit_code == 1
    assert "Linux only" in refused.stderr
    assert "kind" in refused.stderr


def test_a_path_too_long_for_sockets_is_refused(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", f"/{'x' * 80}")
    refused = runner.invoke(app, ["up"])
    assert refused.exit_code == 1
    assert "too long a path" in refused.stderr


def test_an_unknown_family_is_answered_with_the_known_ones(runner: CliRunner) -> None:
    refused = runner.invoke(app, ["build", "kubernetes", "docker"])
    assert refused.exit_code == 1
    assert "unknown: docker" in refused.stderr
    assert "containerd" in refused.stderr


def test_the_wrapper_works_from_any_directory(tmp_path: Path) -> None:
    link = tmp_path / "cluster"
    link.symlink_to(WRAPPER)
    shown = subprocess.run([link, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "Usage: local-cluster" in shown.stdout
