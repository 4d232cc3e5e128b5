"""`/explain`: reads a sandbox and the Events about it."""

import structlog

from sandbox_common import service_ports
from sandbox_common.kube import FAILURES
from sandbox_common.sandboxes.explain import Explanation, Surroundings, explain
from sandbox_common.sandboxes.view import View
from sandbox_common.sandboxes.workspaces import would_lose_workspace
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.events import ClusterEvents
from sandbox_gateway.sandboxes.session_secrets import SessionSecrets

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Explanations:
    """Explains the sandboxes of one namespace."""

    def __init__(
        self,
        events: ClusterEvents,
        secrets: SessionSecrets,
        classes: SandboxClasses,
        base_domain: str,
    ) -> None:
        self._events = events
        self._secrets = secrets
        self._classes = classes
        self._base_domain = base_domain

    async def of(self, sandbox: Sandbox, seen: View) -> Explanation:
        """Why this sandbox is as it is now. If the Events cannot be read, it says so."""
        problem = ""
        try:
            events = await self._events.about(sandbox)
        except FAILURES as error:
            _log.warning("events not read", sandbox=sandbox.metadata.name, error=str(error) or type(error).__name__)
            events, problem = [], "The Events about it could not be read. The gateway's log says why."
        ports = service_ports.present(sandbox, self._classes.spec(sandbox.spec.class_name))
        would_lose = would_lose_workspace(sandbox, self._classes.find(sandbox.spec.class_name))
        around = Surroundings(events, problem, self._base_domain, ports, self._secrets.of(sandbox), would_lose)
        return explain(sandbox, seen, around)
