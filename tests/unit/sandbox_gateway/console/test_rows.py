"""What the rows of the console's table hold, and for how long."""

from typing import cast

from sandbox_gateway.console.rows import ALL, Rows
from sandbox_gateway.console.selection import Query
from sandbox_gateway.sandboxes.classes import SandboxClasses
from unit.remains import remains
from unit.sandbox_gateway.support import Classes, sandbox_object, unconnected_cache


async def test_nothing_is_held_of_a_sandbox_that_is_gone() -> None:
    cache, classes = unconnected_cache(), cast("SandboxClasses", Classes())
    rows = Rows(cache, classes)
    for version, name in enumerate(("sb-shown", "sb-never-shown"), 1):
        spec = {"owner": "alice"}
        sandbox = cache.remember(sandbox_object(name, version=version, uid=f"uid-{name}", spec=spec))
        if name == "sb-shown":
            assert [(await rows.select(scope, Query())).total for scope in ("alice", ALL)] == [1, 1]
        assert remains(rows, [name], [cache, classes])
        cache.forget(sandbox)
        assert remains(rows, [name, "alice"], [cache, classes]) == []
