"""A sandbox as the Runtime API's response object."""

from collections.abc import Sequence

import structlog

from sandbox_common import service_ports
from sandbox_common.keys import MasterKeys
from sandbox_common.losses import losses_words
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_crds.names import CONTAINER
from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.contract.errors import UnavailableError
from sandbox_gateway.contract.responses import ContainerStatus, Event, RuntimeResponse
from sandbox_gateway.runtime_api.status_detail import status_detail
from sandbox_gateway.sandboxes.api import is_settled
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.notices import FIELDS_IGNORED, ignored_message

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LOST = "PodLost"


class Answers:
    """Makes response objects. Key and URL are derived, so this reads nothing."""

    def __init__(self, keys: MasterKeys, cache: SandboxCache, classes: SandboxClasses, addresses: Addresses) -> None:
        self._keys = keys
        self._cache = cache
        self._classes = classes
        self._addresses = addresses

    def runtime(
        self,
        sandbox: Sandbox,
        seen: View,
        origin: Origin,
        reader: str,
        ignored: Sequence[str] = (),
        *,
        with_key: bool = True,
    ) -> RuntimeResponse:
        """The response for a client of the owner `reader` that reached the gateway at `origin`.

        Another owner's client, which has the permission `admin`, gets nothing that opens the sandbox. The `ignored`
        fields of /start had no effect. Raises UnavailableError, InvalidRequestError.
        """
        is_own = sandbox.spec.owner == reader
        condition = sandbox.status.condition("Ready")
        return RuntimeResponse(
            runtime_id=sandbox.metadata.name,
            session_id=sandbox.spec.session_id,
            url=self._addresses.of(sandbox.metadata.name, origin),
            session_api_key=self._session_key(sandbox) if is_own and with_key else "",
            status=seen.status,
            pod_status=seen.pod_status,
            status_detail=status_detail(seen),
            restart_count=seen.restart_count + sandbox.status.lost_pods,
            restart_reasons=list(filter(None, (sandbox.status.restart_reason, losses_words(sandbox.status)))),
            container_statuses=_container_statuses(sandbox, seen),
            events=[*_events(sandbox, seen), *_ignored(ignored)],
            pod_logs="" if seen.normal else seen.summary,
            work_hosts=self._work_hosts(sandbox, origin) if is_own else {},
            image=sandbox.spec.image,
            owner=sandbox.spec.owner,
            sandbox_class=sandbox.spec.class_name,
            reason=seen.reason,
            since=condition.last_transition_time if condition else "",
            launch=sandbox.status.launch,
            pool=sandbox.status.pool,
            created_at=sandbox.metadata.creation_timestamp,
        )

    def one_of_several(
        self, sandbox: Sandbox, seen: View, origin: Origin, reader: str, *, with_key: bool = True
    ) -> RuntimeResponse | None:
        """As `runtime`; None if its key cannot be made, so that one sandbox does not hide the others."""
        try:
            return self.runtime(sandbox, seen, origin, reader, with_key=with_key)
        except UnavailableError as error:
            _log.warning("sandbox left out", sandbox=sandbox.metadata.name, problem=error.detail)
            return None

    def _work_hosts(self, sandbox: Sandbox, origin: Origin) -> dict[str, int]:
        ports = service_ports.present(sandbox, self._classes.spec(sandbox.spec.class_name))
        # Clients make VSCode's URL themselves, and show these as the user's own pages.
        work = {service: port for service, port in ports.items() if service != "vscode"}
        return self._addresses.of_services(sandbox.metadata.name, work, origin)

    def _session_key(self, sandbox: Sandbox) -> str:
        if not is_settled(sandbox):
            return ""
        key_id = self._cache.key_id(sandbox)
        try:
            return self._keys.session_key(key_id)
        except KeyError:
            version = key_id.partition("-")[0]
            raise UnavailableError(
                f"Version {version} of the master key, which this sandbox's key was made from, is missing. "
                "Put it back into the master key's Secret, or stop the sandbox."
            ) from None


def _container_statuses(sandbox: Sandbox, seen: View) -> list[ContainerStatus]:
    if not sandbox.status.pod_name or seen.status == "paused":
        return []
    return [
        ContainerStatus(
            name=CONTAINER,
            ready=seen.ready,
            restart_count=seen.restart_count,
            reason=seen.reason,
            message=seen.message,
        )
    ]


def _ignored(names: Sequence[str]) -> list[Event]:
    if not names:
        return []
    return [Event(type="Warning", reason=FIELDS_IGNORED, message=ignored_message(names))]


def _events(sandbox: Sandbox, seen: View) -> list[Event]:
    events: list[Event] = []
    if not seen.ready:
        events.append(Event(type="Normal" if seen.normal else "Warning", reason=seen.reason, message=seen.message))
    if lost := losses_words(sandbox.status):
        events.append(Event(type="Warning", reason=_LOST, message=lost))
    expiring = sandbox.status.condition("Expiring")
    if expiring is not None and expiring.status == "True":
        events.append(Event(type="Warning", reason=expiring.reason, message=expiring.message))
    return events
