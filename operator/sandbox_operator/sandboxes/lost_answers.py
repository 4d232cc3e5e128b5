"""Writes to Sandboxes whose answers may be lost: whether they were accepted, the watch shows."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from sandbox_common.kube import FAILURES
from sandbox_common.kube.errors import may_have_succeeded
from sandbox_common.recent import remember
from sandbox_crds.models import Sandbox

type Count = Callable[[Sandbox], None]
"""Counts what an accepted write has changed, by the Sandbox as it was stored."""


@dataclass(frozen=True, slots=True)
class Change:
    """A JSON merge patch of one part of a Sandbox."""

    part: Literal["spec", "status"]
    patch: Mapping[str, Any]

    def is_in(self, sandbox: Sandbox) -> bool:
        """Whether the patch would change nothing."""
        return _is_in(self.patch, sandbox.model_dump(by_alias=True, include={self.part})[self.part])


@dataclass(slots=True, eq=False)
class _Write:
    """A change of one version. `later` is the first version after it that was seen."""

    before: Sandbox
    change: Change
    count: Count
    answer_is_lost: bool = False
    later: Sandbox | None = None

    def see(self, sandbox: Sandbox) -> None:
        if self.later is None and sandbox.metadata.resource_version != self.before.metadata.resource_version:
            self.later = sandbox

    def make_good(self, later: Sandbox) -> bool:
        """Count the change if this version has it. A status has times, so that of another operator differs."""
        accepted = self.change.is_in(later)
        if accepted:
            self.count(self.before.model_copy(update={self.change.part: getattr(later, self.change.part)}))
        return accepted


class Writes:
    """Counts each accepted write once: when its answer comes, or else when the watch shows the change.

    Each version of a Sandbox is replaced by one write, so at most one write from a version counts.
    """

    def __init__(self) -> None:
        self._writes: dict[str, list[_Write]] = {}
        """Those under way, and those whose answers were lost, by UID."""
        self._made_good: dict[str, str] = {}
        """UIDs, and the version whose change was counted without an answer, in case that one comes later."""

    @contextmanager
    def writing(self, before: Sandbox, change: Change, count: Count) -> Generator[Count]:
        """Write inside, and call what this gives with the stored Sandbox."""
        uid, version = before.metadata.uid, before.metadata.resource_version
        write = _Write(before, change, count)

        def answered(stored: Sandbox) -> None:
            self.forget(uid)
            if self._made_good.get(uid) != version:
                count(stored)

        self._writes.setdefault(uid, []).append(write)
        try:
            yield answered
        except FAILURES as failure:
            write.answer_is_lost = may_have_succeeded(failure)
            raise
        finally:
            if not write.answer_is_lost:
                self._remove(write)
            self._make_good(uid)

    def see(self, sandbox: Sandbox) -> None:
        """Take a version that the watch has shown, or the answer to a write."""
        for write in self._writes.get(sandbox.metadata.uid, ()):
            write.see(sandbox)
        self._make_good(sandbox.metadata.uid)

    def forget(self, uid: str) -> None:
        """Its writes no longer matter."""
        self._writes.pop(uid, None)

    def _make_good(self, uid: str) -> None:
        for write in tuple(self._writes.get(uid, ())):
            if write.answer_is_lost and write.later:
                self._remove(write)
                if write.make_good(write.later):
                    remember(self._made_good, uid, write.before.metadata.resource_version)

    def _remove(self, write: _Write) -> None:
        uid = write.before.metadata.uid
        if left := [other for other in self._writes.get(uid, ()) if other is not write]:
            self._writes[uid] = left
        else:
            self.forget(uid)


def _is_in(patch: Any, value: Any) -> bool:
    if not isinstance(patch, Mapping):
        return patch == value
    fields = cast(Mapping[str, Any], value if isinstance(value, Mapping) else {})
    return all(_is_in(change, fields.get(name)) for name, change in cast(Mapping[str, Any], patch).items())
