"""What the gateway reports about a sandbox besides its state, in the answer and as a Kubernetes Event."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sandbox_common.event_posting import post_event
from sandbox_common.kube import KubeClient
from sandbox_common.recent import remember
from sandbox_common.sandbox_events import build_event
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.changes import CLASS

FIELDS_IGNORED = "StartFieldsIgnored"


def ignored_message(names: Sequence[str]) -> str:
    """The message that these fields of a /start have no effect. It has their names, never their values."""
    later = [name for name in names if name != CLASS]
    message = f"Not applied: {', '.join(names)}."
    if later:
        message += (
            " The sandbox has a pod already, and these fields take effect when its pod is made: pause it, then send "
            "them with /start."
        )
    if CLASS in names:
        message += (
            " The class of a session can change only while it is paused or has failed, and only to one that keeps "
            "/workspace in the same way; else stop the session and start it anew."
        )
    return message


class Notices:
    """Posts Events about the sandboxes of one namespace, each one once."""

    def __init__(
        self, client: KubeClient, namespace: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._now = now
        self._posted: dict[str, None] = {}

    async def fields_ignored(self, sandbox: Sandbox, names: Sequence[str]) -> None:
        """Post that these fields of a /start had no effect, once for each pod. Failures are only logged."""
        # The status may not have the pod yet; then the latest restart stands for it.
        of_pod = sandbox.status.pod_uid or sandbox.spec.restarted_at
        about = hashlib.sha256(f"{sandbox.metadata.uid} {of_pod} {' '.join(names)}".encode()).hexdigest()[:16]
        event = build_event(
            sandbox,
            self._now(),
            by="gateway",
            type_="Warning",
            reason=FIELDS_IGNORED,
            action="Start",
            note=ignored_message(names),
            once=about,
        )
        if about not in self._posted:
            await post_event(self._client, self._namespace, event)
            remember(self._posted, about, None)
