"""What an owner's sandboxes have used: as the operator has recorded it, and since then as this replica sees them."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from sandbox_common import times
from sandbox_common.kube import KubeClient, unreadable
from sandbox_common.kube.resources import SANDBOX_USAGES, SANDBOXES
from sandbox_common.usage import Days, Span, present, up_to_now
from sandbox_crds.models import SandboxUsage
from sandbox_crds.names import usage_name
from sandbox_gateway.contract.errors import UnavailableError
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses

_API_SECONDS = 3.0


class Usage:
    """Of the owners of one namespace. `now` is the wall clock in UTC."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        cache: SandboxCache,
        classes: SandboxClasses,
        now: Callable[[], datetime] = times.utc_now,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._cache = cache
        self._classes = classes
        self._now = now

    async def of(self, owner: str) -> tuple[datetime, Days]:
        """The present time, and what was used until then. One read; raises what KubeClient raises, UnavailableError."""
        async with asyncio.timeout(_API_SECONDS):
            found = await self._client.find(SANDBOX_USAGES, self._namespace, usage_name(owner))
        spans: list[Span] = []
        async for sandbox in in_steps(self._cache.owned_by(owner)):
            try:
                spans += present(sandbox, self._classes.find(sandbox.spec.class_name))
            except (ValueError, OverflowError) as error:
                unreadable.report(SANDBOXES, sandbox.metadata.name, error)
        now = self._now()
        try:
            stored = SandboxUsage.model_validate(found).status if found else None
            return now, up_to_now(stored, spans, int(now.timestamp()))
        except (ValueError, OverflowError) as error:
            unreadable.report(SANDBOX_USAGES, usage_name(owner), error)
            raise UnavailableError(
                "The record of usage is malformed. An administrator must correct or delete the SandboxUsage "
                f"{usage_name(owner)}."
            ) from None
