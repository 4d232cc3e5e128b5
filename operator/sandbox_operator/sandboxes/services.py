"""Services of sandboxes: those that exist, and how one must change."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox_common.command import AGENT
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import SERVICES
from sandbox_common.kube.unreadable import malformed
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.service import build_service
from sandbox_operator.watching.pods import Pod, controller_uid

type Form = tuple[str, tuple[tuple[str, str], ...], tuple[tuple[str, int, Any], ...]]
"""Cluster IP, selector and ports of a Service: everything that decides where it leads."""


@dataclass(frozen=True, slots=True)
class Service:
    """One Service, as the API server has it."""

    name: str
    uid: str
    owner_uid: str
    version: int
    form: Form


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """Delete the one Service, if given, then create the other, if given."""

    delete: Service | None
    create: KubeObject | None


@malformed("a Service")
def decode(item: KubeObject) -> Service:
    """Decode a Service from the API server. Raises ValueError if it is malformed."""
    metadata = item["metadata"]
    version = int(metadata["resourceVersion"])
    return Service(metadata["name"], metadata["uid"], controller_uid(item), version, _form(item["spec"]))


def change(sandbox: Sandbox, pod: Pod | None, service: Service | None) -> ServiceChange | None:
    """How the Service must change; None if it is right. It is made with a new pod, and an ending pod needs none."""
    is_own = service is not None and service.owner_uid == sandbox.metadata.uid
    if sandbox.spec.service == "None":
        return ServiceChange(service, None) if is_own else None
    if pod is None or pod.deletion_requested or (service and not is_own):
        return None
    body = build_service(sandbox, pod.port(AGENT))
    if service and service.form == _form(body["spec"]):
        return None
    return ServiceChange(service, body)


def refused_event(sandbox: Sandbox, why: str, now: datetime) -> KubeObject:
    """The Event, posted once, that a running sandbox has no Service because it cannot be made."""
    return build_event(
        sandbox,
        now,
        type_="Warning",
        reason=EventReason.SERVICE_REFUSED,
        action="CreateService",
        note=f"The sandbox has no Service: {why}",
        once=sandbox.metadata.uid,
    )


class Services:
    """The Services of sandboxes by name: the informer's cache, corrected by what this process has just done.

    `on_change(name)` is called for each Service that is new, changed or gone.
    """

    def __init__(self, client: KubeClient, namespace: str, on_change: Callable[[str], None] = lambda _: None) -> None:
        self.informer: Informer[Service] = Informer(
            client,
            SERVICES,
            namespace,
            decode,
            label_selector=SANDBOX_LABEL,
            on_change=lambda name, _: on_change(name),
        )
        self._made: dict[str, Service] = {}
        self._deleted: dict[str, str] = {}

    def get(self, name: str) -> Service | None:
        """The Service of this name, as last seen or written."""
        made = self._made.get(name)
        if made and made.version > self.informer.version:
            return made
        self._made.pop(name, None)
        found = self.informer.get(name)
        if found is None or found.uid != self._deleted.get(name):
            self._deleted.pop(name, None)
            return found
        return None

    def made(self, item: KubeObject) -> None:
        """Note that the API server has created this Service."""
        self._made[item["metadata"]["name"]] = decode(item)

    def deleted(self, service: Service) -> None:
        """Note that the API server has deleted this Service."""
        self._made.pop(service.name, None)
        self._deleted[service.name] = service.uid

    def forget(self, name: str) -> None:
        """Forget the Service of a sandbox that is gone."""
        self._made.pop(name, None)
        self._deleted.pop(name, None)


def _form(spec: KubeObject) -> Form:
    # Headless Services need no port.
    declared = spec.get("ports") or ()
    ports = tuple((port.get("name", ""), port["port"], port.get("targetPort", port["port"])) for port in declared)
    return spec.get("clusterIP", ""), tuple(sorted(spec.get("selector", {}).items())), ports
