"""Settings from flags and variables."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from sandbox_operator import settings as module
from sandbox_operator.leader.election import Timing
from sandbox_operator.settings import Settings


@pytest.fixture(autouse=True)
def _no_service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_SERVICE_ACCOUNT_NAMESPACE", tmp_path / "namespace")


def test_defaults() -> None:
    settings = CliApp.run(Settings, cli_args=[])
    assert (settings.namespace, settings.kubeconfig, settings.health_port) == ("default", None, 8081)
    assert settings.master_key_dir == Path("/var/run/secrets/openhands/master")
    assert settings.log_format == "json"
    assert settings.timing == Timing(duration=8, renew=2, deadline=5)


def test_the_lease_s_times_follow_its_duration_unless_they_are_given() -> None:
    assert CliApp.run(Settings, cli_args=["--lease-duration-seconds=2"]).timing == Timing(2, 0.5, 1.25)
    given = ["--lease-duration-seconds=20", "--lease-renew-seconds=1", "--lease-deadline-seconds=15"]
    assert CliApp.run(Settings, cli_args=given).timing == Timing(20, 1, 15)


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (["--lease-deadline-seconds=7"], "lease_deadline_seconds must be at most three quarters of"),
        (["--lease-renew-seconds=3"], "lease_renew_seconds must be at most half of"),
        (["--lease-duration-seconds=2", "--lease-renew-seconds=2"], "lease_renew_seconds must be at most half of"),
    ],
)
def test_times_of_the_lease_that_do_not_fit_are_refused(flags: list[str], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        CliApp.run(Settings, cli_args=flags)


def test_the_namespace_is_that_of_the_service_account(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("sandboxes\n")
    assert CliApp.run(Settings, cli_args=[]).namespace == "sandboxes"


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_OPERATOR_NAMESPACE", "of-the-variable")
    monkeypatch.setenv("SANDBOX_OPERATOR_WORKERS", "5")
    settings = CliApp.run(Settings, cli_args=["--namespace=of-the-flag", "--health-port", "9000"])
    assert (settings.namespace, settings.workers, settings.health_port) == ("of-the-flag", 5, 9000)


@pytest.mark.parametrize(
    "flag",
    [
        "--workers=0",
        "--workers=many",
        "--health-port=70000",
        "--log-level=loud",
        "--log-format=xml",
        "--namespace=",
        "--gateway-peers=gateway",
        "--lease-name=Upper",
        "--lease-name=",
        "--lease-duration-seconds=0",
        "--lease-duration-seconds=1.5",
        "--lease-renew-seconds=0",
        "--lease-deadline-seconds=nan",
    ],
)
def test_bad_values_are_refused(flag: str) -> None:
    with pytest.raises(ValidationError):
        CliApp.run(Settings, cli_args=[flag])


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(SystemExit):
        CliApp.run(Settings, cli_args=["--unknown=1"])
