"""Settings of the gateway: command line, then environment variables SANDBOX_GATEWAY_*, then defaults."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_settings import BaseSettings, CliSuppress, NoDecode, SettingsConfigDict

from sandbox_common.logs import LogFormat, LogLevel
from sandbox_crds.image_patterns import PatternText
from sandbox_crds.image_references import registry_name
from sandbox_gateway.contract.addresses import Origin
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
        default=Path("/etc/openhands-sandbox/master-key"),
        description="Directory of the mounted Secrets of the master key and the naming key.",
    )
    listen_host: str = Field(default="0.0.0.0", description="Address of the listener for clients.")  # noqa: S104
    listen_port: Port = Field(default=8080, description="Port of the listener for clients.")
    health_port: Port = Field(default=8081, description="Port of /healthz, /readyz, /metrics and /internal.")
    workers: Annotated[int, Field(ge=1, le=64), AfterValidator(_one_port)] = Field(
        default=1,
        description="Number of processes that share the clients' port, one per core. For several nodes, add replicas.",
    )
    tls_dir: Path | None = Field(
        default=None,
        description="Directory of a mounted Secret of type kubernetes.io/tls, for TLS at the listen port. Changes take "
        "effect without a restart. Default: plain HTTP.",
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
        description="Addresses of the proxies in front, separated by commas, such as 10.0.3.0/24,fd00:3::/64. Only "
        "their X-Forwarded-For, -Proto and -Host are trusted.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="",
        description="URL of this gateway for clients. Empty: the one that each client used. Sandboxes get its scheme "
        "as X-Forwarded-Proto if no trusted proxy sends one.",
    )
    sandbox_class: str = Field(default="default", description="SandboxClass of started sandboxes.")
    start_hold_seconds: Hold = Field(
        default=10,
        description="Seconds for which /start, /resume and /pause are held. Some clients give up after 15 s.",
    )
    poll_hold_seconds: Hold = Field(
        default=10, description="Seconds for which GET /sessions/{id} of a starting sandbox is held."
    )
    registry_prefix: str = Field(
        default="", description="Answer of GET /registry_prefix for clients that build images; the gateway builds none."
    )
    image_registries: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_registries)] = Field(
        default=(),
        description="Registries that the gateway may ask, over https, for GET /image_exists and for the size of images "
        "that nodes pull: hosts, separated by commas, such as docker.io,ghcr.io. Of others it knows nothing.",
    )
    allowed_images: Annotated[tuple[PatternText, ...], NoDecode, BeforeValidator(_items)] = Field(
        default=(),
        description="Patterns of allowed images, separated by commas, such as ghcr.io/openhands/*. Empty: all. API "
        "keys may allow fewer.",
    )
    wake_hold_seconds: float = Field(
        default=50,
        ge=1,
        le=600,
        description="Seconds for which a request to an idle sandbox is held while it wakes. The SDK waits for 60 s.",
    )
    requests_per_sandbox: int = Field(
        default=512, ge=1, description="Maximum number of simultaneous requests to one sandbox, in each process."
    )
    websockets_per_sandbox: int = Field(
        default=1024, ge=1, description="Maximum number of open WebSockets of one sandbox, in each process."
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Maximum number of Runtime API calls per minute, in each process, for API keys without a limit of "
        "their own. 0: no limit.",
    )
    access_log: AccessLogMode = Field(
        default="failures",
        description="Requests that are logged. none; failures (requests that the gateway refuses or breaks off, "
        "answers of 500 and above, and sampled traces, W3C traceparent), at most 100 a second; or all, which takes "
        "about as much time as forwarding them.",
    )
    audit_log: bool = Field(
        default=True,
        description="Whether calls of the Runtime API that change or reveal something are logged, one JSON line each.",
    )
    console: bool = Field(default=True, description="Whether /console has the pages for people.")
    shutdown_grace_seconds: float = Field(
        default=25, ge=0, description="Seconds for open connections to end after SIGTERM."
    )
    kubeconfig: str | None = Field(
        default=None, description="kubeconfig file. Default: the service account, else the usual places."
    )
    log_level: LogLevel = Field(default="INFO", description="Lowest level that is logged.")
    log_format: LogFormat = Field(default="json", description="json for machines, console for people.")
