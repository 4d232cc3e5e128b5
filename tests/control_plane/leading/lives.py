"""Lives of Sandboxes, and what the audit log and the operators' metrics say of them."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self

from control_plane.audit import Audit
from control_plane.leading.crew import Crew, Member
from control_plane.pools.basin import BAD_IMAGE, Basin
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_operator.app import USER_AGENT

type Step = Callable[[str], Awaitable[None]]

LANES = 10
WARM_SHARE = 4
"""One life in so many begins with a warm start."""

NEVER_READY = "never"
"""How the names of those begin that are never ready, and deleted therefore."""
_HASTY = "hasty"
"""A class whose sandboxes must be ready in some seconds."""
_HASTE_SECONDS = 8

_STEPS: dict[tuple[str, str], tuple[str, ...]] = {
    ("creates-cold", "create sandboxes"): ("start_seconds Cold Ready",),
    ("creates-warm", "create sandboxes"): ("start_seconds Warm Ready",),
    ("creates-bad", "create sandboxes"): ("start_seconds Cold Failed", "failures SandboxClassNotFound"),
    ("creates-never-ready", "create sandboxes"): ("start_seconds Cold Failed", "failures ImagePullBackOff"),
    ("suspends", "patch sandboxes"): ("suspensions Requested",),
    ("idles", "patch sandboxes"): ("suspensions Idle",),
    ("times-out", "patch sandboxes"): (
        *("start_seconds Resume Failed", "failures ImagePullBackOff", "suspensions StartTimeout"),
    ),
    ("resumes", "patch sandboxes"): ("start_seconds Resume Ready",),
    ("loses", "delete pods"): ("losses Deleted", "start_seconds Restart Ready"),
    ("deletes", "delete sandboxes"): ("deletions Requested",),
    (USER_AGENT, "delete sandboxes"): ("deletions MaximumLife",),
}
"""The series in which an accepted request counts, by its user agent and kind."""


@dataclass(frozen=True)
class Life:
    """A Sandbox, and what happens to it. A leader may be lost before the step `half`."""

    name: str
    steps: Sequence[Step]
    half: int


class Lives:
    """Makes lives of all kinds. Each kind of write has its own client, whose user agent says what for."""

    def __init__(self, basin: Basin, clients: dict[str, KubeClient]) -> None:
        self._basin = basin
        self._clients = clients
        self._lanes = asyncio.Semaphore(LANES)
        cold, warm = self._starts("creates-cold"), self._starts("creates-warm", warmStart="Allowed")
        self._kinds: tuple[Sequence[Step], ...] = (
            (cold, self._delete),
            (warm, self._delete),
            (cold, self._suspend, self._resume, self._delete),
            (warm, self._lose, self._suspend, self._delete),
            (self._fail, self._delete),
            (cold, self._age),
            (cold, self._idle, self._resume, self._delete),
            (cold, self._suspend, self._time_out, self._delete),
            (self._never_ready,),
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, control_plane: ControlPlane, basin: Basin) -> AsyncGenerator[Self]:
        """With a client for each kind of write, and the class that some lives need."""
        await basin.add_class(_HASTY, progressDeadlineSeconds=_HASTE_SECONDS)
        async with AsyncExitStack() as stack:
            clients: dict[str, KubeClient] = {}
            for agent in {agent for agent, _ in _STEPS} - {USER_AGENT}:
                clients[agent] = await KubeClient.connect(str(control_plane.kubeconfig), agent)
                stack.push_async_callback(clients[agent].close)
            yield cls(basin, clients)

    def life(self, number: int, draw: random.Random) -> Life:
        """All kinds in turn."""
        steps = self._kinds[number % len(self._kinds)]
        # The operator must not delete anything while its leader is lost.
        halves = (0, len(steps)) if self._age in steps else range(len(steps) + 1)
        kind = NEVER_READY if self._never_ready in steps else "life"
        return Life(f"{kind}-{number}", steps, draw.choice(halves))

    async def begin(self, lives: Sequence[Life]) -> None:
        """The first half of each life; several at a time."""
        await asyncio.gather(*(self._take(life.name, life.steps[: life.half]) for life in lives))

    async def end(self, lives: Sequence[Life]) -> None:
        """The second half."""
        await asyncio.gather(*(self._take(life.name, life.steps[life.half :]) for life in lives))

    async def _take(self, name: str, steps: Sequence[Step]) -> None:
        async with self._lanes:
            for step in steps:
                await step(name)

    def _by(self, agent: str) -> Basin:
        return Basin(self._clients[agent], self._basin.namespace, self._basin.name)

    def _starts(self, agent: str, warmStart: str = "Never", **spec: object) -> Step:
        async def start(name: str) -> None:
            await self._by(agent).add(name, warmStart=warmStart, **spec)
            await self._basin.until(Reason.READY, name)

        return start

    async def _fail(self, name: str) -> None:
        await self._by("creates-bad").add(name, className="none")
        await self._basin.until(Reason.SANDBOX_CLASS_NOT_FOUND, name)

    async def _suspend(self, name: str) -> None:
        await self._by("suspends").suspend(True, name)
        await self._basin.until(Reason.SUSPENDED, name)

    async def _resume(self, name: str) -> None:
        await self._by("resumes").suspend(False, name)
        await self._basin.until(Reason.READY, name)

    async def _lose(self, name: str) -> None:
        lost = (await self._basin.sandbox(name)).status
        await self._clients["loses"].delete(PODS, self._basin.namespace, lost.pod_name)
        await self._basin.until(Reason.READY, name, lambda found: found.status.pod_uid != lost.pod_uid)

    async def _idle(self, name: str) -> None:
        # As the operator's own loop does, which would ask agent servers and gateways first.
        await self._edit("idles", name, suspend=True, suspendReason="Idle")
        await self._basin.until(Reason.IDLE, name)

    async def _time_out(self, name: str) -> None:
        await self._edit("times-out", name, suspend=False, className=_HASTY, image=BAD_IMAGE)
        await self._basin.until(Reason.START_TIMEOUT, name)

    async def _never_ready(self, name: str) -> None:
        await self._by("creates-never-ready").add(name, className=_HASTY, warmStart="Never", image=BAD_IMAGE)
        await self._basin.gone(SANDBOXES, name)

    async def _edit(self, agent: str, name: str, **spec: object) -> None:
        await self._clients[agent].patch(SANDBOXES, self._basin.namespace, name, {"spec": spec})

    async def _delete(self, name: str) -> None:
        await self._by("deletes").delete(name)

    async def _age(self, name: str) -> None:
        await self._basin.client.patch(SANDBOXES, self._basin.namespace, name, {"spec": {"maximumLifeSeconds": 1}})
        await self._basin.gone(SANDBOXES, name)


async def expected(audit: Audit, basin: Basin) -> Counter[str]:
    """What the metrics must say, by the accepted requests in the audit log."""
    found: Counter[str] = Counter()
    for write in await audit.writes(basin.client, basin.namespace):
        # Deletions of what has gone meanwhile are 404, repeated creations 409.
        series = _STEPS.get((write.user_agent, write.what), ())
        if series == _STEPS[USER_AGENT, "delete sandboxes"] and write.name.startswith(NEVER_READY):
            series = ("deletions NeverReady",)
        found.update(series if write.code < 300 else ())
    return found


class Totals:
    """The metrics of all operators together, also of those that have ended."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._ended: Counter[str] = Counter()
        self._terms_ended = 0

    async def terms(self) -> int:
        """How often an operator has become the leader."""
        return self._terms_ended + sum([int(await _terms(member)) for member in self._crew.members])

    async def now(self) -> Counter[str]:
        """The sums over all processes."""
        found = Counter(self._ended)
        for member in self._crew.members:
            found.update(await _counted(member))
        return found

    async def note(self, member: Member) -> None:
        """Keep what this process has counted, since it is about to end."""
        self._ended.update(await _counted(member))
        self._terms_ended += int(await _terms(member))


async def _terms(member: Member) -> float:
    return await member.process.metric("openhands_sandbox_operator_terms_total") or 0


async def _counted(member: Member) -> Counter[str]:
    prefix = "openhands_sandbox_operator_"
    names = {f"{prefix}{name}_total": name for name in ("suspensions", "deletions", "failures", "losses")} | {
        f"{prefix}start_seconds_count": "start_seconds"
    }
    return Counter(
        {
            " ".join((names[sample.name], *sample.labels.values())): int(sample.value)
            for sample in await member.process.samples()
            if sample.name in names and sample.value
        }
    )
