"""Metrics of lives and the API server's audit log say the same, one to one, over changes of the leader."""

import random
from itertools import batched

from control_plane.audit import Audit
from control_plane.leading.conftest import Start
from control_plane.leading.crew import Crew
from control_plane.leading.lives import WARM_SHARE, Lives, Totals, expected
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sampling import count, seed
from sandbox_common.reasons import PoolReason

LIVES = count(12, 1000)
BATCH = count(12, 60)
"""Lives between two changes of the leader."""
POOL = BATCH // WARM_SHARE + 1


async def test_each_step_is_in_the_metrics_once(
    control_plane: ControlPlane, basin: Basin, node: Node, start: Start, audit: Audit
) -> None:
    await basin.add_pool(replicas=POOL)
    draw = random.Random(seed())
    async with Lives.of(control_plane, basin) as lives, start(2) as crew:
        totals = Totals(crew)
        for terms, batch in enumerate(batched((lives.life(number, draw) for number in range(LIVES)), BATCH), 1):
            await basin.told(PoolReason.FILLED, ready_replicas=POOL)
            await lives.begin(batch)
            await _agree(audit, basin, totals, terms)
            await _lose_leader(crew, totals, draw.choice(("SIGSTOP", "SIGTERM", "SIGKILL")))
            await lives.end(batch)
            await _agree(audit, basin, totals, terms + 1)
        found = await totals.now()
        print(f"\n{dict(found)}")
        assert sum(number for series, number in found.items() if series.startswith("deletions ")) == LIVES
        crew.check_logs()


async def _agree(audit: Audit, basin: Basin, totals: Totals, terms: int) -> None:
    """Return once the metrics have what the audit log has, and nothing else, after so many terms."""

    async def look() -> bool:
        return await totals.now() == await expected(audit, basin)

    try:
        await eventually(look)
    except TimeoutError:
        # Deletions by others are not counted while nobody leads, so no leader may be lost by itself meanwhile.
        assert (await totals.now(), await totals.terms()) == (await expected(audit, basin), terms)


async def _lose_leader(crew: Crew, totals: Totals, how: str) -> None:
    """While nothing is being written, let another one lead; the lost one comes back."""
    leader = await crew.leader()
    if how == "SIGSTOP":
        leader.freeze()
        await crew.leader(besides=leader)
        leader.thaw()
        return
    await totals.note(leader)
    await (leader.stop() if how == "SIGTERM" else leader.kill())
    await crew.leader(besides=leader)
    await leader.restart()
