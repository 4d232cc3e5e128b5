"""Nothing is held of a sandbox that is gone but its UID, however it lived."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from sandbox_common.api_keys import Limits
from sandbox_common.kube import ApiError
from sandbox_crds.models import Sandbox
from sandbox_operator.watching.queue import WorkQueue
from unit.remains import remains
from unit.sandbox_operator.samples import IMAGE, UID
from unit.sandbox_operator.scene import Scene, answering

NAME = "one"
OF_OTHERS = Sandbox.model_validate(
    {"metadata": {"name": "other", "uid": "other"}, "spec": {"image": IMAGE, "owner": "others"}}
)


async def runs(scene: Scene) -> None:
    scene.add("team")
    await scene.step()
    scene.show(answering)
    await scene.step()


async def never_gets_ready(scene: Scene) -> None:
    scene.add("team")
    await scene.step()
    scene.show()
    scene.now += timedelta(seconds=20)
    await scene.step()


async def is_refused(scene: Scene) -> None:
    scene.add("team")
    scene.server.fail["create pods"] = [ApiError(403, "Forbidden", "exceeded quota: small")]
    await scene.step()


async def waits_for_its_turn(scene: Scene) -> None:
    scene.limits = Limits(running=0)
    scene.add("team")
    await scene.step()


async def is_paused(scene: Scene) -> None:
    await runs(scene)
    scene.edit(suspend=True, suspendReason="Requested")
    await scene.step()


@pytest.mark.parametrize("live", [runs, never_gets_ready, is_refused, waits_for_its_turn, is_paused])
async def test_nothing_is_held_of_a_sandbox_that_is_gone(
    live: Callable[[Scene], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    # The scene's queue only notes what is put off.
    for name in ("add_after", "retry"):
        monkeypatch.setattr(scene.queue, name, partial(getattr(WorkQueue, name), scene.queue))

    def held() -> list[str]:
        return remains(scene.reconciler, (NAME, UID), beside=[scene.server])

    await live(scene)
    assert held()
    pods = [pod.name for pod in scene.pod_index.owned_by(UID)]
    scene.sandboxes.drop(NAME, UID)
    for name in pods:
        scene.pod_index.changed(name, None)
    await scene.step()
    # The starts of an owner's last minute count, until somebody else has started after it.
    scene.now += timedelta(minutes=2)
    scene.start_queue.ask("other", OF_OTHERS, scene.now)
    # Lists from the past still have it, so its UID is remembered for a while.
    assert held() == ["Reconciler._sandboxes._dropped key"]
