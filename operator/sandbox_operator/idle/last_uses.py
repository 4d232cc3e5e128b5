"""When sandboxes were last used, from reports of the gateway's replicas. Pure, by this process's monotonic clock."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from sandbox_common.activity import CHECK_SECONDS, Report

ANSWER_SECONDS = 5.0
"""How long a replica may take to answer."""

_PAUSE_SECONDS = 2 * CHECK_SECONDS
"""Seconds without suspensions after the set of replicas has changed."""
_LOST_SECONDS = 2.5 * CHECK_SECONDS
"""Two checks without an answer, and some delay. If a replica is gone after this time, all sandboxes count as used until
then, because it may have served any of them."""
_OVERLAP_SECONDS = 600.0
"""For how long a replica may still serve after its successor has started: its grace period."""
_RENEWED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Replica:
    since: float
    """Begin of its memory."""
    asked_at: float
    """When the last request that it answered was sent; -inf if it has not answered yet."""


_UNHEARD = _Replica(-math.inf, -math.inf)


class LastUses:
    """Last uses by runtime id, and whether they are complete.

    `followed` False: there is no gateway to ask, so they are always complete.
    """

    def __init__(self, followed: bool = True) -> None:
        self._followed = followed
        self._replicas: dict[str, _Replica] = {}
        self._listed: frozenset[str] = frozenset()
        self._used_at: dict[str, float] = {}
        self._pause_until = -math.inf
        self._complete_at = math.inf
        """When all replicas had answered for the first time; inf before that."""
        self._youngest = -math.inf
        """Begin of the shortest of their memories then, or soon after."""
        self._lost_until = -math.inf
        self.silent: frozenset[str] = frozenset()
        """Listed addresses that did not answer."""

    def within(self, address: str, now: float) -> float | None:
        """Ask this replica for the use within these seconds; None for all that it remembers."""
        replica = self._replicas.get(address)
        return now - replica.asked_at + ANSWER_SECONDS if replica and replica != _UNHEARD else None

    def heard(self, answers: Mapping[str, Report | None], asked_at: float, answered_at: float) -> None:
        """Take the answers of all listed replicas by address; None for a replica that did not answer."""
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
            # The successor of a replica may be listed only after that replica is gone, and may itself be gone soon.
            self._youngest = max([self._youngest, *(replica.since for replica in self._replicas.values())])

    def _answered(self, address: str, report: Report, asked_at: float, answered_at: float) -> None:
        since = answered_at - report.uptime_seconds
        before = self._replicas.get(address, _UNHEARD)
        # A replica that has not answered before may have been listed long before its process started.
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
        # It may have ended when two checks got no answer, although this shows only now.
        if noticed_at - replica.asked_at > _LOST_SECONDS:
            self._lost_until = max(self._lost_until, at)

    def holds_back(self, now: float) -> bool:
        """Whether nothing may be suspended now, because there may be unreported requests."""
        if not self._followed:
            return False
        return not self._listed or bool(self.silent) or now < self._pause_until or self._complete_at == math.inf

    def used_at(self, runtime_id: str, seconds: float) -> float:
        """When this sandbox was last used, if that was within these last seconds; never earlier than the true time.

        An earlier replica may have served it and ended before this process began to ask. While that could have been
        within `seconds`, the begin of this process counts as a use.
        """
        known = max(self._used_at.get(runtime_id, -math.inf), self._lost_until)
        if self._followed and self._complete_at - self._youngest < seconds + _OVERLAP_SECONDS:
            return max(known, self._complete_at)
        return known

    def keep(self, runtime_ids: Container[str]) -> None:
        """Forget all other sandboxes."""
        for runtime_id in [known for known in self._used_at if known not in runtime_ids]:
            del self._used_at[runtime_id]
