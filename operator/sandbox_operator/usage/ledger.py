"""What one owner's sandboxes have used that is not recorded yet. Pure.

Each span has its own mark, up to which it is recorded, so nothing counts twice and late news is made good: what was
recorded beyond a span's end is taken back. A new leader knows only the time `through` of the record. It counts all that
it finds from then on; of what has ended since then and is gone, it does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox_common.usage import DAY, NOTHING, Days, Span, Sums, name_of, newest, number_of, oldest_kept
from sandbox_crds.models import UsageAmounts
from sandbox_crds.models.sandbox_usage import DAYS_KEPT

PERIOD = 300
"""Seconds between two writes for an owner, at least."""
REST_PERIOD = DAY
"""Seconds between two writes for an owner whose sandboxes are all suspended."""
GATHER = 5
"""Seconds for which changes are gathered, if the last write was long ago."""
SETTLED = 2
"""Seconds after which all events of a time have arrived: a write records what was used until then."""
LATE = 60
"""Seconds by which events may be late. What seems to be older has been recorded before."""


type Key = tuple[str, str, UsageAmounts]
"""Name, class and rate of a span of one sandbox."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A span that is recorded until `counted`; `started`: its start, too. `gone`: it is no longer observed."""

    span: Span
    counted: int
    started: bool
    gone: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the span goes on."""
        return self.span.until is None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be recorded or observed of it."""
        return self.gone and self.started and self.counted == self.span.until

    @property
    def is_news(self) -> bool:
        """Whether it has begun or ended since the last write, or after `through` of the record."""
        return not self.started or (self.span.until is not None and self.span.until != self.counted)

    def closed(self, until: int) -> "Entry":
        """The same, which ended then unless it had ended before."""
        if self.span.until is not None:
            return self
        return replace(self, span=replace(self.span, until=max(until, self.span.since)))

    def end(self, to: int) -> int:
        """Until when it is recorded by a write of what was used until `to`."""
        reached = max(to, self.counted)
        return reached if self.span.until is None or self.span.until > reached else self.span.until

    def has_started(self, to: int) -> bool:
        """Whether its start is recorded by then."""
        return self.started or self.span.since < to

    def recorded(self, end: int, *, started: bool) -> "Entry":
        """The same after a write that recorded it until `end`."""
        return replace(self, counted=end, started=self.started or started)


@dataclass(frozen=True, slots=True)
class Draft:
    """The days of a record, and the time until which it is whole. `ends` belongs to the ledger."""

    days: Days
    through: int
    ends: Mapping[tuple[str, Key], tuple[int, bool]]


class OwnerLedger:
    """The spans of one owner by the UIDs of its sandboxes. Times are in seconds since 1970.

    `through`: time until which the owner's use is recorded, 0 without a record; `newest`: the record's last day.
    """

    def __init__(self, through: int = 0, newest: str = "") -> None:
        self.through = through
        self.newest = newest
        self._entries: dict[str, dict[Key, Entry]] = {}
        # Counted, so that an event takes no longer if the owner has thousands of sandboxes.
        self._open = 0
        self._running = 0
        self._changed_at: int | None = None

    def see(self, uid: str, found: Mapping[str, Span], now: int, late: int = LATE) -> None:
        """Take the present spans of a sandbox. Those that are missing have ended."""
        entries = dict(self._entries.get(uid, {}))
        present = {(name, span.class_name, span.rate): span for name, span in found.items()}
        news = False
        for key, span in present.items():
            known = entries.get(key)
            if known is None:
                entry = self._new(_from(span, now) if _goes_on(entries, key[0]) else span, late)
            elif known.is_open and span.until is not None:
                entry = known.closed(span.until)
            else:
                continue
            self._set(uid, key, entry)
            news |= entry.is_news
        for key in entries.keys() - present.keys():
            self._set(uid, key, replace(entries[key].closed(now), gone=True))
            news |= entries[key].is_open
        if news and self._changed_at is None:
            self._changed_at = now

    def rebase(self, through: int) -> None:
        """Take that the record is another one than this process has written: it has everything until `through`."""
        self.through = through
        for uid, key, entry in self._all():
            counted = max(entry.counted, through)
            if entry.span.until is not None and entry.span.until <= through:
                counted = entry.span.until
            self._set(uid, key, entry.recorded(counted, started=entry.span.since < through))

    def draft(self, days: Days, to: int, now: int) -> Draft:
        """What to record after `days`, so that everything is recorded that was used until `to`."""
        sums, ends = Sums(days, now), dict[tuple[str, Key], tuple[int, bool]]()
        for uid, key, entry in self._all():
            end, started = entry.end(to), entry.has_started(to)
            sums.add(entry.span, entry.counted, end)
            if started and not entry.started:
                sums.add_start(entry.span)
            ends[uid, key] = end, started
        return Draft(sums.days(), max(to, self.through), ends)

    def recorded(self, draft: Draft) -> None:
        """Note that this draft is the record now."""
        self.through = draft.through
        self.newest = newest(draft.days)
        for (uid, key), (end, started) in draft.ends.items():
            if entry := self._entries.get(uid, {}).get(key):
                self._set(uid, key, entry.recorded(end, started=started))
        self._changed_at = draft.through if any(entry.is_news for _, _, entry in self._all()) else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is used, and nothing is left to record."""
        return not self._entries

    def due(self) -> int | None:
        """When to write next, or to delete a record whose days are all gone; None if there is nothing to do."""
        # One more second, since times are whole seconds.
        soonest = self.through + SETTLED + PERIOD + 1 if self.through else 0
        if self._changed_at is not None:
            return max(soonest, self._changed_at + GATHER)
        if self._running:
            return soonest
        if self._open:
            return self.through + REST_PERIOD
        return _expiry(self.newest) if self.through else None

    def has_expired(self, now: int) -> bool:
        """Whether the record has no day left that is kept, and gets no new one."""
        return self.is_idle and self.newest < name_of(oldest_kept(now))

    def _new(self, span: Span, late: int) -> Entry:
        floor = self.through - late
        counted = max(span.since, floor)
        if span.until is not None:
            counted = min(counted, max(span.until, span.since))
        return Entry(span, counted, started=span.since < floor)

    def _all(self) -> list[tuple[str, Key, Entry]]:
        return [(uid, key, entry) for uid, entries in self._entries.items() for key, entry in entries.items()]

    def _set(self, uid: str, key: Key, entry: Entry) -> None:
        """Replace the entry of this key. One that is over is dropped."""
        entries = self._entries.setdefault(uid, {})
        before = entries.pop(key, None)
        for each, sign in ((before, -1), (entry, 1)):
            if each and each.is_open:
                self._open += sign
                self._running += sign * each.span.rate.running_seconds
        if not entry.is_over:
            entries[key] = entry
        elif not entries:
            del self._entries[uid]


def _goes_on(entries: Mapping[Key, Entry], name: str) -> bool:
    """Whether a span of this name is open: a new one then only has another rate."""
    return any(key[0] == name and entry.is_open for key, entry in entries.items())


def _from(span: Span, now: int) -> Span:
    return replace(span, since=max(now, span.since), start=NOTHING)


def _expiry(day: str) -> int:
    """When this day is no longer kept."""
    number = number_of(day)
    return 0 if number is None else (number + DAYS_KEPT) * DAY
