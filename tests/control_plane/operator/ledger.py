"""What the operator has written, read from the API server's audit log."""

from control_plane.audit import Audit, kinds
from control_plane.operator.world import World
from sandbox_operator.app import USER_AGENT


class Ledger:
    """Writes of the operator for one test's Sandbox, Events included, since the last look."""

    def __init__(self, audit: Audit, world: World) -> None:
        self._audit = audit
        self._world = world
        self._seen = 0

    async def new(self) -> list[str]:
        """What has been written since the last call, sorted."""
        world = self._world
        writes = [
            write
            for write in await self._audit.writes(world.client, world.namespace, USER_AGENT)
            if write.name == world.name or write.name.startswith((f"{world.name}-", f"{world.name}."))
        ]
        new = kinds(writes[self._seen :])
        self._seen = len(writes)
        return new
