"""Checks of the owners' limits: the gateway refuses a start that the operator would not admit in time.

The operator admits sandboxes, and only it counts exactly (`sandbox_operator.limits`). The gateway avoids Sandboxes for
which there is no room, and reports a waiting sandbox's place in the queue.
"""

from collections import Counter
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import replace

from sandbox_common.api_keys import ApiKey, Limits
from sandbox_common.limits import HOW_TO_FREE, Limit, reached
from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_common.sandboxes.queue import Queue, places, waits, with_place
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import LimitReachedError
from sandbox_gateway.sandboxes.cache import SandboxCache

_NAMED = 10
"""The most sandboxes that a refusal names."""
_SESSION_CHARACTERS = 40


class LimitChecks:
    """What owners may still start. `limits(owner)` returns the limits in force."""

    def __init__(self, cache: SandboxCache, limits: Callable[[str], Limits]) -> None:
        self._cache = cache
        self._limits = limits
        self._begun: Counter[tuple[str, str]] = Counter()
        """The number of calls that are making or resuming each sandbox of an owner."""

    def of_owner(self, key: ApiKey) -> ApiKey:
        """The same key with the limits of its owner: the strictest of all the owner's keys."""
        return replace(key, policy=key.policy.model_copy(update={"limits": self._limits(key.owner)}))

    def check(self, owner: str, name: str, *, is_new: bool) -> None:
        """Raises LimitReachedError when there is probably no room for this sandbox. `is_new`: it does not exist yet."""
        limits = self._limits(owner)
        if limits == Limits():
            return
        owned = [known for known in self._cache.owned_by(owner) if known.metadata.name != name]
        counted = {known.metadata.name for known in owned if not known.spec.suspend} | {name}
        coming = sum(whose == owner and begun not in counted for whose, begun in self._begun)
        if limit := lacking(owned, coming, limits, is_new=is_new):
            raise LimitReachedError(refusal(*limit, owner, owned))

    @contextmanager
    def starting(self, owner: str, name: str) -> Generator[None]:
        """While this sandbox is being made or resumed. Raises LimitReachedError when there is probably no room."""
        self.check(owner, name, is_new=self._cache.get(name) is None)
        self._begun[owner, name] += 1
        try:
            yield
        finally:
            self._begun[owner, name] -= 1
            if not self._begun[owner, name]:
                del self._begun[owner, name]

    def refused(self, sandbox: Sandbox, seen: View) -> LimitReachedError | None:
        """The refusal of a new sandbox that the operator does not admit; None when it admits it, or still may."""
        if seen.reason != Reason.LIMIT_REACHED or sandbox.status.launch:
            return None
        owner = sandbox.spec.owner
        owned = [known for known in self._cache.owned_by(owner) if known.metadata.name != sandbox.metadata.name]
        # The operator names no sandbox: its message would change with each one that comes or goes.
        limit = full(owned, self._limits(owner))
        return LimitReachedError(refusal(*limit, owner, owned) if limit else seen.message)

    def standing(self, owner: str) -> tuple[Limits, dict[str, int], int]:
        """The owner's limits, what counts for `running` and `sandboxes`, and how many sandboxes wait for room."""
        owned = self._cache.owned_by(owner)
        counted: tuple[Limit, ...] = ("running", "sandboxes")
        return self._limits(owner), {limit: len(_taking(limit, owned)) for limit in counted}, sum(map(waits, owned))

    def queue(self, owner: str) -> Queue:
        """The places of all waiting sandboxes of this owner, by name; the first is 1."""
        return places(self._cache.owned_by(owner))

    def with_place(self, sandbox: Sandbox, seen: View, queue: Queue | None = None) -> View:
        """The same view; if the sandbox waits for room, its message begins with its place in its owner's `queue`."""
        if seen.reason != Reason.QUEUED:
            return seen
        return with_place(sandbox, seen, self.queue(sandbox.spec.owner) if queue is None else queue)


def lacking(owned: Collection[Sandbox], coming: int, limits: Limits, *, is_new: bool) -> tuple[Limit, int] | None:
    """The limit, with its value, for which one more sandbox would wait too long.

    `owned` are the other sandboxes of the owner; `coming` is the number of those being made or resumed. As many may
    wait as may run.
    """
    counted = [known for known in owned if not _is_refused(known)]
    if is_new and limits.sandboxes is not None and len(counted) + coming >= limits.sandboxes:
        return "sandboxes", limits.sandboxes
    active = sum(not known.spec.suspend for known in counted) + coming
    if limits.running is not None and active >= 2 * limits.running:
        return "running", limits.running
    if limits.starts_per_minute == 0:
        return "startsPerMinute", 0
    return None


def full(owned: Collection[Sandbox], limits: Limits) -> tuple[Limit, int] | None:
    """The limit, with its value, that these sandboxes of an owner use up, as far as they show it."""
    values: dict[Limit, int | None] = {"sandboxes": limits.sandboxes, "running": limits.running}
    for limit, value in values.items():
        if value is not None and len(_taking(limit, owned)) >= value:
            return limit, value
    return None


def refusal(limit: Limit, value: int, owner: str, owned: Collection[Sandbox]) -> str:
    """The text for the client: the limit, its value, which sandboxes use it, and how to free it."""
    taking = sorted(_taking(limit, owned), key=lambda known: (known.metadata.creation_timestamp, known.metadata.name))
    more = f" and {len(taking) - _NAMED} more" if len(taking) > _NAMED else ""
    named = f" By age: {', '.join(map(_named, taking[:_NAMED]))}{more}." if taking else ""
    how = {"running": "POST /pause or /stop; GET /list shows them", "sandboxes": "POST /stop"}.get(limit, "")
    hint = f" ({how})" if how else ""
    return (
        f"{reached(limit, value, owner)}{named} {HOW_TO_FREE[limit]}{hint}, or have the limit raised: "
        "`kubectl ohsb keys set`."
    )


def _taking(limit: Limit, owned: Collection[Sandbox]) -> list[Sandbox]:
    """The sandboxes that a limit counts."""
    counted = [known for known in owned if not _is_refused(known)]
    if limit == "sandboxes":
        return counted
    return [known for known in counted if not (known.spec.suspend or waits(known))]


def _named(sandbox: Sandbox) -> str:
    session = redacted(sandbox.spec.session_id)
    shown = f"{session[:_SESSION_CHARACTERS]}…" if len(session) > _SESSION_CHARACTERS else session
    return f"{sandbox.metadata.name} (session {shown})" if shown else sandbox.metadata.name


def _is_refused(sandbox: Sandbox) -> bool:
    """Whether the operator did not admit it."""
    return _reason(sandbox) == Reason.LIMIT_REACHED and not sandbox.status.launch


def _reason(sandbox: Sandbox) -> str:
    condition = sandbox.status.condition("Ready")
    return condition.reason if condition else ""
