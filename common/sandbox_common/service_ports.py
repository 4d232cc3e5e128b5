"""The service ports of a sandbox. Pure.

The class decides which services exist, and their default ports. A sandbox may override the ports of these services.
Names, variables and defaults are those of OpenHands (openhands_ai 1.11.0, `remote_sandbox_service`).
"""

from collections.abc import Mapping
from types import MappingProxyType

from sandbox_crds.models import Sandbox, SandboxClassSpec, SandboxSpec
from sandbox_crds.models.service_ports import ServicePorts

VARIABLES: Mapping[str, str] = MappingProxyType(
    {"vscode": "OH_VSCODE_PORT", "work-1": "WORKER_1", "work-2": "WORKER_2"}
)
"""Environment variables from which a sandbox's programs read their ports."""

_DEFAULTS = MappingProxyType({"vscode": 60001, "work-1": 12000, "work-2": 12001})


def of_class(class_: SandboxClassSpec) -> dict[str, int]:
    """Port by service, without services that sandboxes of this class do not have."""
    return _chosen(class_.service_ports, _DEFAULTS)


def of_sandbox(sandbox: SandboxSpec, class_: SandboxClassSpec) -> dict[str, int]:
    """Port by service, without services that the sandbox does not have."""
    return _chosen(sandbox.service_ports, of_class(class_))


def present(sandbox: Sandbox, class_: SandboxClassSpec) -> dict[str, int]:
    """Port by service, as in the sandbox's present pod; without a pod, as in the next one.

    The pod's NetworkPolicies and programs keep its ports, even if spec or class have changed since it was made. But a
    service that spec or class remove is closed at once.
    """
    wanted = of_sandbox(sandbox.spec, class_)
    if not sandbox.status.ports:
        return wanted
    return {service: port for service in wanted if (port := sandbox.status.ports.get(service))}


def named_in(environment: Mapping[str, str]) -> dict[str, int]:
    """Port by service, for those of `VARIABLES` that have a port number in a client's environment."""
    ports = {service: _port(environment.get(variable, "")) for service, variable in VARIABLES.items()}
    return {service: port for service, port in ports.items() if port}


def _chosen(own: ServicePorts, otherwise: Mapping[str, int]) -> dict[str, int]:
    given = own.model_dump(by_alias=True, exclude_none=True)
    ports = {service: given.get(service, port) for service, port in otherwise.items()}
    return {service: port for service, port in ports.items() if port}


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    return number if number < 65536 else 0
