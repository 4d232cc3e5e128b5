"""What the gateway's replicas have told about the use of sandboxes: pure, by this process's monotonic clock."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from sandbox_common.activity import CHECK_SECONDS, Report

ANSWER_SECONDS = 5.0
"""How long a replica may take to answer."""

_PAUSE_SECONDS = 2 * CHECK_SECONDS
"""How long nothing is suspended after the set of replicas has changed."""
_LOST_SECONDS = 2.5 * CHECK_SECONDS
"""Two checks without an answer, and what makes them late: after so long all that a replica that is gone may have served
counts as served."""
_OVERLAP_SECONDS = 600.0
"""How long a replica may live on beside the one that replaces it: its grace period."""
_RENEWED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Replica:
    since: float
    """How far back its memory reaches."""
    asked_at: float
    """When the last question that it answered was sent; -inf: it has not answered yet."""


_UNHEARD = _Replica(-math.inf, -math.inf)


class Traffic:
    """Last uses by runtime id, and whether they are all there are.

    `followed` False: there is no gateway to ask, and all is known that ever will be.
    """

    def __init__(self, followed: bool = True) -> None:
        self._followed = followed
        self._replicas: dict[str, _Replica] = {}
        self._listed: frozenset[str] = frozenset()
        self._used_at: dict[str, float] = {}
        self._pause_until = -math.inf
        self._complete_at = math.inf
        """When all replicas had answered for the first time."""
        self._youngest = -math.inf
        """How far back the shortest of their memories reached then, or soon after."""
        self._lost_until = -math.inf
        self.silent: frozenset[str] = frozenset()
        """Addresses that are listed and did not answer."""

    def within(self, address: str, now: float) -> float | None:
        """What to ask this replica for: use within so many seconds, None for all that it remembers."""
        replica = self._replicas.get(address)
        return now - replica.asked_at + ANSWER_SECONDS if replica and replica != _UNHEARD else None

    def heard(self, answers: Mapping[str, Report | None], asked_at: float, answered_at: float) -> None:
        """Answers of all replicas that are listed, by address; None where there was none."""
        listed = frozenset(answers)
        if listed != self._listed:
            self._pause_until = answered_at + _PAUSE_SECONDS
        self._listed = listed
        for address in self._replicas.keys() - listed:
            self._gone(self._replicas.pop(address), answered_at, answered_at)
        for address, report in answers.items():
            if report is not None:
                self._answered(address, report, asked_at, answered_at)
            else:
                self._replicas.setdefault(address, _UNHEARD)
        self.silent = frozenset(address for address, report in answers.items() if report is None)
        if self._complete_at == math.inf and listed and not self.silent:
            self._complete_at = answered_at
        if answered_at < self._complete_at + _PAUSE_SECONDS:
            # The one that replaces another may be listed later than that other went.
            self._youngest = max((replica.since for replica in self._replicas.values()), default=-math.inf)

    def _answered(self, address: str, report: Report, asked_at: float, answered_at: float) -> None:
        since = answered_at - report.uptime_seconds
        before = self._replicas.get(address, _UNHEARD)
        # One that has not answered before may have been listed long before its process started.
        if before != _UNHEARD and since > before.since + _RENEWED_SECONDS:
            # Another process at the same address.
            self._pause_until = answered_at + _PAUSE_SECONDS
            self._gone(before, since, answered_at)
        self._replicas[address] = _Replica(since, asked_at)
        used_at = self._used_at
        for runtime_id, use in report.sandboxes.items():
            at = answered_at if use.in_flight else answered_at - use.idle_seconds
            if at > used_at.get(runtime_id, -math.inf):
                used_at[runtime_id] = at

    def _gone(self, replica: _Replica, at: float, noticed_at: float) -> None:
        # It may have gone when two checks had no answer, and only now show it.
        if noticed_at - replica.asked_at > _LOST_SECONDS:
            self._lost_until = max(self._lost_until, at)

    def holds_back(self, now: float) -> bool:
        """Whether nothing may be suspended now, since there may be traffic that is not known."""
        if not self._followed:
            return False
        return not self._listed or bool(self.silent) or now < self._pause_until or self._complete_at == math.inf

    def used_at(self, runtime_id: str, seconds: float) -> float:
        """When this sandbox was last used, as far as these last seconds are concerned: not earlier than in truth.

        What a replica has not seen since its own start another one may have seen, which ended before this process
        began to ask: as long as that matters, the beginning counts as a use.
        """
        known = max(self._used_at.get(runtime_id, -math.inf), self._lost_until)
        if self._followed and self._complete_at - self._youngest < seconds + _OVERLAP_SECONDS:
            return max(known, self._complete_at)
        return known

    def keep(self, runtime_ids: Container[str]) -> None:
        """Forget all sandboxes but these."""
        for runtime_id in [known for known in self._used_at if known not in runtime_ids]:
            del self._used_at[runtime_id]
