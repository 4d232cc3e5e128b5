"""The command `kubectl ohsb pools`: how full they are, and why starts missed them."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target
from kubectl_ohsb.printing import visible
from kubectl_ohsb.sandboxes.store import Store, run
from sandbox_common.kube.resources import SANDBOX_POOLS, SANDBOXES
from sandbox_common.sandboxes.pool_starts import PoolStarts
from sandbox_crds.models import Sandbox, SandboxPool

_HEADINGS = ("NAME", "WANTED", "FREE", "READY", "STARTING", "FAILING", "CLAIMED", "HITS", "REASON", "CLASS", "IMAGE")


@click.command("pools")
@options.output
@options.target
def command(output: str, target: Target) -> None:
    """Show pools of warm pods: wanted, free and claimed pods, hits, and misses by reason.

    Hits and misses are those of the first starts of sandboxes that still exist; the operator's metrics count all.

    \b
    Examples:
      # Are there enough warm pods?
      kubectl ohsb pools
      # Why did starts miss them?
      kubectl ohsb pools -o json | jq .misses
    """

    async def read(store: Store) -> tuple[str, list[SandboxPool], PoolStarts]:
        pools = [pool async for pool in store.each(SANDBOX_POOLS, SandboxPool)]
        starts = PoolStarts()
        async for sandbox in store.each(SANDBOXES, Sandbox):
            starts.add(sandbox)
        return store.namespace, sorted(pools, key=lambda pool: pool.metadata.name), starts

    namespace, pools, starts = run(target, read, SANDBOX_POOLS)
    if output != "table":
        printing.document(document(pools, starts), output)
    elif pools:
        click.echo(page(pools, starts))
    else:
        click.echo(f"There is no SandboxPool in namespace {namespace}. docs/pools.md says how to make one.", err=True)


def document(pools: Iterable[SandboxPool], starts: PoolStarts) -> dict[str, Any]:
    """For programs."""
    return {
        "items": [
            {
                "name": pool.metadata.name,
                **_numbers(pool),
                "hits": starts.hits[pool.metadata.name],
                "reason": _ready(pool)[0],
                "message": _ready(pool)[1],
                "className": pool.spec.class_name,
                "image": pool.spec.image,
            }
            for pool in pools
        ],
        "misses": [
            {"reason": reason, "count": count, "examples": starts.details(reason)}
            for reason, count in starts.most_common()
        ],
    }


def page(pools: list[SandboxPool], starts: PoolStarts) -> str:
    """For people: the pools, what is wrong with them, and the misses."""
    rows = [
        (
            pool.metadata.name,
            *map(str, _numbers(pool).values()),
            str(starts.hits[pool.metadata.name]),
            _ready(pool)[0] or "-",
            pool.spec.class_name,
            printing.cut(pool.spec.image, 60, keep_end=True),
        )
        for pool in pools
    ]
    parts = [printing.columns([_HEADINGS, *rows])]
    parts += [
        visible(f"{pool.metadata.name}: {message}")
        for pool in pools
        if (message := _ready(pool)[1]) and pool.status.ready_replicas < pool.status.desired_replicas
    ]
    if starts.misses:
        misses = [
            (reason, str(count), printing.cut("".join(starts.details(reason)[:1]), 100) or "-")
            for reason, count in starts.most_common()
        ]
        parts.append(printing.columns([("MISSES", "SANDBOXES", "EXAMPLE"), *misses]))
    return "\n\n".join(parts)


def _numbers(pool: SandboxPool) -> Mapping[str, int]:
    status = pool.status
    return {
        "wanted": status.desired_replicas,
        "free": status.replicas,
        "ready": status.ready_replicas,
        "starting": status.starting_replicas,
        "failing": status.failing_replicas,
        "claimed": status.claimed_pods,
    }


def _ready(pool: SandboxPool) -> tuple[str, str]:
    """Reason and message of the condition Ready."""
    condition = pool.status.condition("Ready")
    return (condition.reason, condition.message) if condition else ("", "")
