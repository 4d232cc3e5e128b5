"""Posts Kubernetes Events, for operator and gateway alike."""

import structlog

from sandbox_common.kube import FAILURES, ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import EVENTS

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def post_event(client: KubeClient, namespace: str, event: KubeObject) -> None:
    """Post an Event. Events are for people, so a failure is only logged."""
    try:
        await client.create(EVENTS, namespace, event)
    except FAILURES as error:
        if isinstance(error, ApiError) and error.code == 409:
            # This Event has been posted already.
            return
        _log.warning("event not posted", reason=event["reason"], error=str(error))
