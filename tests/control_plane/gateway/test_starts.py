"""/metrics has each start that a call has begun, also when it ends after the answer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from prometheus_client import REGISTRY

from control_plane.gateway.support import Agent, Operator, Replica, answer
from control_plane.waiting import eventually
from sandbox_common.reasons import Reason

COLD: dict[str, Any] = {"launch": "Cold", "firstReadyTime": "2026-01-02T03:04:05Z"}
RESUME: dict[str, Any] = {**COLD, "launch": "Resume", "podUID": "pod-uid-2"}


class Counts:
    """How many starts of each kind have been observed since this was made; others may have been before."""

    def __init__(self) -> None:
        self._before = self._all()

    async def become(self, **expected: int) -> None:
        """Return when they are these, by `Launch_Result`, and no others."""

        async def are() -> bool:
            return self._new() == expected

        await eventually(are)

    def _new(self) -> Mapping[str, int]:
        return {kind: new for kind, count in self._all().items() if (new := count - self._before.get(kind, 0))}

    def _all(self) -> dict[str, int]:
        samples = (sample for family in REGISTRY.collect() for sample in family.samples)
        return {
            f"{sample.labels['launch']}_{sample.labels['result']}": int(sample.value)
            for sample in samples
            if sample.name == "openhands_sandbox_gateway_start_seconds_count"
        }


async def test_every_start_that_a_call_has_begun_is_observed_once(
    gateway: Replica, operator: Operator, agent: Agent
) -> None:
    counts = Counts()
    calls = (gateway.start("s", command=agent.command) for _ in range(2))
    [runtime_id] = {body["runtime_id"] for body in await asyncio.gather(*calls) if body["status"] == "starting"}
    await counts.become()
    await operator.report(Reason.READY, **COLD)
    await counts.become(Cold_Ready=1)
    assert (await gateway.start("s", command=agent.command))["status"] == "running"

    await gateway.post("/pause", runtime_id)
    await operator.report(Reason.SUSPENDED, **COLD)
    assert (await gateway.post("/resume", runtime_id))["status"] == "starting"
    await gateway.post("/resume", runtime_id)
    await operator.report(Reason.IMAGE_NOT_FOUND, **RESUME)
    await counts.become(Cold_Ready=1, Resume_Failed=1)

    await gateway.post("/resume", runtime_id)
    await gateway.post("/pause", runtime_id)
    await counts.become(Cold_Ready=1, Resume_Failed=1, Resume_Paused=1)
    await operator.report(Reason.SUSPENDED, **COLD)

    await gateway.start("s", command=agent.command)
    answer(await gateway.http.post("/stop", json={"runtime_id": runtime_id}))
    await counts.become(Cold_Ready=1, Resume_Failed=1, Resume_Paused=1, Resume_Deleted=1)
