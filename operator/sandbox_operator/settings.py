"""Settings of the operator's process: from flags, else from SANDBOX_OPERATOR_… variables."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sandbox_common.logs import LogFormat, LogLevel
from sandbox_operator.idle.gateways import parse_peers
from sandbox_operator.leader.election import Timing

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return "default"


def _peers(text: str) -> str:
    parse_peers(text)
    return text


class Settings(BaseSettings):
    """Operator for the Sandboxes of one namespace: makes their pods, keys, workspaces and Services."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_OPERATOR_",
        cli_prog_name="sandbox-operator",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    namespace: str = Field(
        default_factory=_own_namespace,
        min_length=1,
        description="Namespace of the Sandboxes. Default: that of the service account, else `default`.",
    )
    master_key_dir: Path = Field(
        default=Path("/var/run/secrets/openhands/master"),
        description="Directory of the mounted master key Secret, with entries v1, v2, …",
    )
    kubeconfig: Path | None = Field(
        default=None,
        description="kubeconfig file. Default: the service account, else $KUBECONFIG, else ~/.kube/config.",
    )
    health_port: int = Field(default=8081, ge=0, le=65535, description="Port of /healthz, /readyz and /metrics.")
    gateway_peers: Annotated[str, AfterValidator(_peers)] = Field(
        default="",
        description=(
            "host:port of the gateway's probes; several are separated by commas. Every address of a host is a replica. "
            "The operator asks all of them before it suspends an idle sandbox. Empty: the operator does not know about "
            "requests, and only the agent servers determine idleness."
        ),
    )
    read_nodes: bool = Field(
        default=False,
        description=(
            "Watch nodes, which needs a ClusterRole. The operator then claims warm pods last, and replaces them, if "
            "their node is cordoned, not ready, or has a taint that the pods do not tolerate."
        ),
    )
    pause_image: str = Field(
        default="registry.k8s.io/pause:3.10.1",
        min_length=1,
        description="Image of the program in pods that keep images on nodes. It does nothing until it is killed.",
    )
    workers: int = Field(
        default=32, ge=1, le=512, description="Number of sandboxes that are processed at the same time."
    )
    lease_name: str = Field(
        default="openhands-sandbox-operator",
        pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        description="Name of the Lease. Its holder is the one operator of the namespace that works; others stand by.",
    )
    lease_duration_seconds: int = Field(
        default=8,
        ge=1,
        le=3600,
        description="Seconds without renewal of the Lease after which another operator takes over.",
    )
    lease_renew_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds between two renewals. Default: a quarter of the duration.",
    )
    lease_deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description=(
            "Seconds without renewal after which an operator itself stops writing. Default: five eighths of the "
            "duration. The rest allows for different clocks and for requests that are still on their way."
        ),
    )
    log_level: LogLevel = Field(default="INFO", description="Lowest level that is logged.")
    log_format: LogFormat = Field(default="json", description="json for machines, console for people.")

    @property
    def timing(self) -> Timing:
        """Timing of the Lease."""
        duration = self.lease_duration_seconds
        return Timing(
            duration=duration,
            renew=duration / 4 if self.lease_renew_seconds is None else self.lease_renew_seconds,
            deadline=duration * 5 / 8 if self.lease_deadline_seconds is None else self.lease_deadline_seconds,
        )

    @model_validator(mode="after")
    def _lease_times_fit(self) -> Self:
        timing = self.timing
        if timing.deadline > 0.75 * timing.duration:
            raise ValueError("lease_deadline_seconds must be at most three quarters of lease_duration_seconds")
        if timing.renew > timing.deadline / 2:
            raise ValueError("lease_renew_seconds must be at most half of lease_deadline_seconds")
        return self
