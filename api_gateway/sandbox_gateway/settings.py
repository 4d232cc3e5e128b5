"""Settings of the gateway: command line, then environment variables SANDBOX_GATEWAY_*, then defaults."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_settings import BaseSettings, CliSuppress, NoDecode, SettingsConfigDict

from sandbox_common.logs import LogFormat, LogLevel
from sandbox_crds.image_patterns import PatternText
from sandbox_gateway.contract.addresses import Origin
from sandbox_gateway.contract.image_reference import registry_name
from sandbox_gateway.proxy.access_log import AccessLogMode
from sandbox_gateway.proxy.forwarded import Network, network

_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _domain(text: str) -> str:
    domain = text.strip().strip(".").lower()
    if domain and not _DOMAIN.fullmatch(domain):
        raise ValueError("must be a DNS name without scheme, port and wildcard")
    return domain


def _public_url(text: str) -> str:
    if text:
        Origin.parse(text)
    return text.rstrip("/")


def _one_port(workers: int, others: ValidationInfo) -> int:
    if workers > 1 and others.data.get("listen_port") == 0:
        raise ValueError("more than one needs a port to share: set the listen port")
    return workers


def _registries(names: object) -> object:
    return [registry_name(name) for name in names.split(",") if name.strip()] if isinstance(names, str) else names


def _items(texts: object) -> object:
    return [text.strip() for text in texts.split(",") if text.strip()] if isinstance(texts, str) else texts


TrustedNetwork = Annotated[Network, BeforeValidator(lambda text: network(str(text)))]
Port = Annotated[int, Field(ge=0, le=65535)]
Hold = Annotated[float, Field(ge=0, le=11)]


class Settings(BaseSettings):
    """Runtime API and data plane for OpenHands sandboxes on Kubernetes."""

    model_config = SettingsConfigDict(
        env_prefix="SANDBOX_GATEWAY_", cli_prog_name="sandbox-gateway", cli_kebab_case=True, frozen=True
    )

    namespace: str = Field(default="default", min_length=1, description="Namespace of Sandboxes and API-key Secrets.")
    master_key_dir: Path = Field(
        default=Path("/etc/openhands-sandbox/master-key"), description="Where the master key's Secret is mounted."
    )
    listen_host: str = Field(default="0.0.0.0", description="Address of the listener for clients.")  # noqa: S104
    listen_port: Port = Field(default=8080, description="Port of the listener for clients.")
    health_port: Port = Field(default=8081, description="Port of /healthz, /readyz, /metrics and /internal/activity.")
    workers: Annotated[int, Field(ge=1, le=64), AfterValidator(_one_port)] = Field(
        default=1,
        description="Processes that share the port for clients, to use as many cores. Replicas do the same over nodes.",
    )
    tls_dir: Path | None = Field(
        default=None,
        description="Where a Secret of type kubernetes.io/tls is mounted, for TLS at the listen port; followed when it "
        "changes. Default: plain HTTP.",
    )
    worker_socket: CliSuppress[Path | None] = Field(
        default=None, description="Set for a worker: the Unix socket of its probes, instead of the health port."
    )
    base_domain: Annotated[str, AfterValidator(_domain)] = Field(
        default="",
        description="Host mode: sandboxes are {runtime_id}.{base_domain}. Empty: the session key names the sandbox.",
    )
    trusted_proxies: Annotated[tuple[TrustedNetwork, ...], NoDecode, BeforeValidator(_items)] = Field(
        default=(),
        description="Addresses of the proxies in front, separated by commas, such as 10.0.3.0/24,fd00:3::/64. Their "
        "X-Forwarded-For, -Proto and -Host are believed, and nobody else's.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="",
        description="URL of this gateway for clients; empty: what each client used to reach it. Its scheme is told to "
        "sandboxes as X-Forwarded-Proto where no trusted proxy names one.",
    )
    sandbox_class: str = Field(default="default", description="SandboxClass of the sandboxes that are started.")
    start_hold_seconds: Hold = Field(
        default=10, description="How long /start, /resume and /pause are held. Some clients give up after 15 s."
    )
    poll_hold_seconds: Hold = Field(
        default=10, description="How long GET /sessions/{id} of a starting sandbox is held."
    )
    registry_prefix: str = Field(
        default="", description="What GET /registry_prefix tells clients that build images; the gateway builds none."
    )
    image_registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_registries)] = Field(
        default=(),
        description="Registries that GET /image_exists may ask, over https: hosts, separated by commas, such as "
        "docker.io,ghcr.io. Of images elsewhere it says that it does not know.",
    )
    allowed_images: Annotated[tuple[PatternText, ...], NoDecode, BeforeValidator(_items)] = Field(
        default=(),
        description="Patterns of the images that may be started, separated by commas, such as ghcr.io/openhands/*. "
        "Empty: all. API keys may allow fewer.",
    )
    wake_hold_seconds: float = Field(
        default=50,
        ge=1,
        le=600,
        description="How long a request to an idle sandbox is held while it wakes. The SDK waits 60 s for an answer.",
    )
    requests_per_sandbox: int = Field(
        default=512, ge=1, description="How many requests of a sandbox may be under way at a time, in each process."
    )
    websockets_per_sandbox: int = Field(
        default=1024, ge=1, description="How many WebSockets of a sandbox may be open at a time, in each process."
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How often an API key without a limit of its own may call the Runtime API within a minute, in each "
        "process. 0: without a limit.",
    )
    access_log: AccessLogMode = Field(
        default="failures",
        description="Requests that are logged: none; failures (what the gateway refuses or breaks off, and answers of "
        "500 and above), at most 100 a second; or all, which takes about as much time as passing them on. Sampled "
        "traces (W3C traceparent) are logged with failures, too.",
    )
    shutdown_grace_seconds: float = Field(
        default=25, ge=0, description="How long open connections may go on after SIGTERM."
    )
    kubeconfig: str | None = Field(
        default=None, description="Kubeconfig file. Default: the pod's service account, or else the usual places."
    )
    log_level: LogLevel = Field(default="INFO", description="Least severity that is logged.")
    log_format: LogFormat = Field(default="json", description="json: an object a line; console: for people.")
