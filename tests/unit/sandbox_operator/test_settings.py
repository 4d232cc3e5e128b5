"""Settings from flags and variables."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from sandbox_operator import settings as module
from sandbox_operator.settings import Settings


@pytest.fixture(autouse=True)
def _no_service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_SERVICE_ACCOUNT_NAMESPACE", tmp_path / "namespace")


def test_defaults() -> None:
    settings = CliApp.run(Settings, cli_args=[])
    assert (settings.namespace, settings.kubeconfig, settings.health_port) == ("default", None, 8081)
    assert settings.master_key_dir == Path("/var/run/secrets/openhands/master")
    assert settings.log_format == "json"


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
    ],
)
def test_bad_values_are_refused(flag: str) -> None:
    with pytest.raises(ValidationError):
        CliApp.run(Settings, cli_args=[flag])


def test_unknown_flags_are_refused() -> None:
    with pytest.raises(SystemExit):
        CliApp.run(Settings, cli_args=["--unknown=1"])
