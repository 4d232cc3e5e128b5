"""Orders over a Sandbox in just one state, and what becomes of them when an answer is lost."""

from typing import Any, cast

import pytest

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.sandboxes.specs import PAUSED, RUNNING
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.api import Sandboxes
from unit.sandbox_gateway.support import sandbox_object, unconnected_cache

BEFORE = sandbox_object(version=10)


class Conflict:
    """An API server that refuses a patch since it has `found` by now; None: nothing."""

    def __init__(self, found: KubeObject | None, *, uncertain: bool) -> None:
        self._found = found
        self._uncertain = uncertain

    async def patch(self, *_: Any) -> KubeObject:
        error = ApiError(409, "Conflict", "the object has been modified")
        error.uncertain = self._uncertain
        raise error

    async def get(self, *_: Any) -> KubeObject:
        if self._found is None:
            raise ApiError(404, "NotFound", "")
        return self._found

    find = KubeClient.find


def later(changes: int, spec: Any, **metadata: Any) -> KubeObject:
    """The Sandbox after so many changes of its spec."""
    item = sandbox_object(version=20, spec=dict(spec))
    item["metadata"] |= {"generation": BEFORE["metadata"]["generation"] + changes, **metadata}
    return item


@pytest.mark.parametrize(
    ("found", "uncertain", "was_written"),
    [
        (later(1, PAUSED), True, True),
        # Taken back since, by somebody who knew of it.
        (later(2, RUNNING), True, True),
        (later(3, PAUSED), True, True),
        # The operator has written the status.
        (later(0, RUNNING), True, False),
        # Somebody has changed another field.
        (later(1, {**RUNNING, "idleTimeoutSeconds": 5}), True, False),
        # Nothing was sent before, so all of this is others' doing.
        (later(1, PAUSED), False, False),
        (later(2, RUNNING), False, False),
        # Another Sandbox of the same name, or hardly one any more.
        (later(2, PAUSED, uid="another"), True, False),
        (later(2, PAUSED, deletionTimestamp="2025-01-01T00:00:00Z"), True, False),
        (None, True, False),
    ],
)
async def test_whether_an_order_was_carried_out(found: KubeObject | None, uncertain: bool, was_written: bool) -> None:
    cache = unconnected_cache()
    before = cache.remember(BEFORE)
    sandboxes = Sandboxes(cast(KubeClient, Conflict(found, uncertain=uncertain)), "here", cache)
    answer = await sandboxes.set_spec(before, PAUSED)
    assert answer == (Sandbox.model_validate(found) if was_written else None)
    # Whoever decides again does so on what is there now.
    is_there = found is not None and "deletionTimestamp" not in found["metadata"]
    assert cache.get(before.metadata.name) == (Sandbox.model_validate(found) if is_there else None)


async def test_one_that_has_gone() -> None:
    class Gone(Conflict):
        async def patch(self, *_: Any) -> KubeObject:
            raise ApiError(404, "NotFound", "")

    cache = unconnected_cache()
    before = cache.remember(BEFORE)
    with pytest.raises(NoSandboxError):
        await Sandboxes(cast(KubeClient, Gone(None, uncertain=False)), "here", cache).set_spec(before, PAUSED)
    assert cache.get(before.metadata.name) is None


@pytest.mark.parametrize("change", ["", "mark", "end"])
@pytest.mark.parametrize("uncertain", [True, False])
async def test_whether_a_sandbox_was_made_by_this_call(uncertain: bool, change: str) -> None:
    """Its first answer was lost, and it was paused before it was sent again."""

    class Taken(Conflict):
        async def create(self, _resource: object, _namespace: str, body: KubeObject) -> KubeObject:
            annotations = dict.fromkeys(body["metadata"]["annotations"], "another") if change == "mark" else {}
            self._found = later(1, PAUSED, annotations={**body["metadata"]["annotations"], **annotations})
            if change == "end":
                self._found["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
            return await self.patch()

    cache = unconnected_cache()
    sandboxes = Sandboxes(cast(KubeClient, Taken(None, uncertain=uncertain)), "here", cache)
    made = await sandboxes.create({"metadata": {"name": BEFORE["metadata"]["name"]}})
    assert (made is not None and made.spec.suspend) == (uncertain and not change)
