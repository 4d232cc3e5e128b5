"""Faults that an API server, or the way to it, has now and then, drawn from a seed."""

import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.faults import Asked, Fault, FaultProxy, Kind, faulty
from local_cluster.control_plane import ControlPlane

_REFUSALS = {Fault(Kind.REFUSE, code): 0.01 for code in (500, 502, 503, 504)} | {
    Fault(Kind.REFUSE, 429, retry_after=1): 0.02,
    Fault(Kind.REFUSE, 429): 0.01,
    Fault(Kind.RESET): 0.02,
    Fault(Kind.DELAY, seconds=0.5): 0.03,
    Fault(Kind.DELAY, seconds=3): 0.005,
}
_READS = _REFUSALS | {Fault(Kind.CUT): 0.02}
_LISTS = _READS | {Fault(Kind.STALE, seconds=seconds): 0.05 for seconds in (1, 5, 20)}
_WRITES = _REFUSALS | {Fault(Kind.LOSE): 0.03, Fault(Kind.CUT): 0.01}
_WATCHES = _REFUSALS | {
    Fault(Kind.REFUSE, 401): 0.02,
    Fault(Kind.EXPIRE): 0.05,
    Fault(Kind.SILENCE, seconds=2): 0.05,
    Fault(Kind.CUT): 0.05,
}
_BY_VERB: Mapping[str, Mapping[Fault, float]] = {"get": _READS, "list": _LISTS, "watch": _WATCHES}
"""How likely each fault is; those of the other verbs are _WRITES."""


class Storm:
    """What befalls the requests of several processes. It blows from `rise` to `lull`."""

    def __init__(self) -> None:
        self.blows = False
        self._random = random.Random(0)
        self._proxies: list[FaultProxy] = []

    def rise(self, seed: int) -> None:
        """From now on requests meet faults, drawn from this seed. Watches that are open end."""
        self._random.seed(seed)
        self.blows = True
        for proxy in self._proxies:
            proxy.end_watches()

    def lull(self) -> None:
        """From now on all goes well, but for what is under way."""
        self.blows = False

    def plan(self, what: Asked) -> Fault | None:
        """What befalls this request."""
        shares = _BY_VERB.get(what.verb, _WRITES)
        if not self.blows or not what.resource:
            return None
        [fault] = self._random.choices([None, *shares], [1 - sum(shares.values()), *shares.values()])
        return fault

    @asynccontextmanager
    async def over(self, control_plane: ControlPlane, directory: Path) -> AsyncGenerator[Path]:
        """A kubeconfig for one process, in `directory`."""
        own = directory / f"process-{len(self._proxies)}"
        own.mkdir()
        async with faulty(control_plane, own) as (proxy, kubeconfig):
            proxy.plan = self.plan
            self._proxies.append(proxy)
            yield kubeconfig

    def tally(self) -> Counter[str]:
        """How many requests there were, and how many met what."""
        met = (fault for proxy in self._proxies for _, fault in proxy.seen)
        return Counter(f"{fault.kind} {fault.code or ''}".strip() if fault else "well" for fault in met)
