"""The traces of first starts and resumes, as the operator continues them."""

from typing import Any

import pytest

from sandbox_common.kube import ApiError
from sandbox_crds.api import TRACE_PARENT_ANNOTATION, TRACED_GENERATION_ANNOTATION
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.pools.deferred import Initialization
from sandbox_operator.pools.initializer import Initializer
from sandbox_operator.sandboxes.agent_requests import AgentRequests
from sandbox_operator.sandboxes.memory import Memory, Turn
from sandbox_operator.sandboxes.traces import StartTraces
from sandbox_operator.sandboxes.world import Plan
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import FinishedPull
from unit.exported_spans import SAMPLED, SENDER, TRACE, Exported
from unit.sandbox_operator.samples import IMAGE, NOW, UID, class_, expectations, pod, sandbox
from unit.sandbox_operator.scene import Agents, Queue, Scene, WarmScene, answering, as_ready


def traces(exported: Exported) -> StartTraces:
    return StartTraces(exported.tracing, lambda _: [FinishedPull(IMAGE, NOW, NOW)])


def add(scene: Scene, trace_parent: str = SAMPLED) -> None:
    """Add the Sandbox, as a gateway makes it."""
    scene.add()
    scene.stored["metadata"]["annotations"] = {TRACE_PARENT_ANNOTATION: trace_parent}
    scene.stored["metadata"]["resourceVersion"] = "2"
    scene.sandboxes.put(scene.stored)


async def test_a_cold_start() -> None:
    exported = Exported()
    scene = Scene(traces=traces(exported))
    add(scene)
    await scene.step()
    names = [span.name for span in exported.exporter.get_finished_spans()]
    assert names == ["create objects", "reconcile"]
    assert exported.parent_of("create objects") == "reconcile"
    assert exported.parent_of("reconcile") == SENDER
    assert (exported.spans["create objects"].attributes or {})["openhands.sandbox.objects"] == "Secret,Pod"

    exported.exporter.clear()
    scene.show(answering)
    await scene.step()
    assert {name: exported.parent_of(name) for name in exported.spans} == {
        "pod": SENDER,
        "schedule pod": "pod",
        "pull image": "pod",
        "start containers": "pod",
        "boot agent server": "pod",
        "reconcile": SENDER,
        "write status": "reconcile",
    }
    assert {f"{span.context.trace_id:032x}" for span in exported.spans.values() if span.context} == {TRACE}
    assert (exported.spans["write status"].attributes or {})["openhands.sandbox.reason"] == "Ready"
    assert dict(exported.spans["reconcile"].attributes or {}) == {
        "openhands.sandbox.runtime_id": "one",
        "openhands.sandbox.class": "default",
        "openhands.sandbox.image": IMAGE,
        "openhands.sandbox.launch": "Cold",
        "k8s.namespace.name": "here",
    }

    # The trace is over: what happens to the sandbox later is not part of it.
    exported.exporter.clear()
    scene.edit(suspend=True)
    await scene.step()
    assert not exported.spans


async def suspend_and_resume(scene: Scene, **annotations: str) -> None:
    """Let the sandbox be suspended, and then resumed with these annotations beside those that it has."""
    scene.edit(suspend=True)
    await scene.step()
    scene.lose()
    scene.server.objects = {key: body for key, body in scene.server.objects.items() if key[0] != "pods"}
    await scene.step()
    metadata = scene.stored["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}
    scene.edit(suspend=False)


def resume_of(scene: Scene) -> dict[str, str]:
    """The annotations that a gateway writes when it resumes the sandbox."""
    # Both the suspension and the resume are changes of the spec.
    generation = scene.stored["metadata"]["generation"] + 2
    return {TRACE_PARENT_ANNOTATION: SAMPLED, TRACED_GENERATION_ANNOTATION: str(generation)}


async def test_a_resume() -> None:
    exported = Exported()
    scene = Scene(traces=traces(exported))
    await scene.start()
    assert not exported.spans
    await suspend_and_resume(scene, **resume_of(scene))
    await scene.step()
    scene.show(answering)
    await scene.step()
    names = [span.name for span in exported.exporter.get_finished_spans()]
    assert [name for name in names if name != "write status"] == [
        *("create objects", "reconcile"),
        *("schedule pod", "pull image", "start containers", "boot agent server", "pod"),
        "reconcile",
    ]
    assert {f"{span.context.trace_id:032x}" for span in exported.exporter.get_finished_spans() if span.context} == {
        TRACE
    }
    launches = [
        (span.attributes or {}).get("openhands.sandbox.launch") for span in exported.exporter.get_finished_spans()
    ]
    assert [launch for launch in launches if launch] == ["Resume", "Resume"]

    # The trace is over, also if the pod is lost later, or the sandbox is resumed without a trace.
    exported.exporter.clear()
    scene.lose()
    scene.server.objects = {key: body for key, body in scene.server.objects.items() if key[0] != "pods"}
    await scene.step()
    scene.show(answering)
    await scene.step()
    await suspend_and_resume(scene)
    await scene.step()
    assert not exported.exporter.get_finished_spans()


async def test_a_resume_of_a_sandbox_whose_first_start_was_traced() -> None:
    exported = Exported()
    scene = Scene(traces=traces(exported))
    add(scene)
    await scene.step()
    scene.show(answering)
    await scene.step()
    exported.exporter.clear()
    await suspend_and_resume(scene)
    await scene.step()
    assert not exported.spans


async def test_a_warm_start() -> None:
    exported = Exported()
    scene = WarmScene(traces=traces(exported))
    await scene.stock_up("pool-a")
    add(scene)
    await scene.step()
    assert [(name, exported.parent_of(name)) for name in exported.spans] == [
        ("claim warm pod", "reconcile"),
        ("write status", "reconcile"),
        ("reconcile", SENDER),
    ]
    assert (exported.spans["claim warm pod"].attributes or {})["k8s.pod.name"] == "pool-a"
    assert (exported.spans["reconcile"].attributes or {})["openhands.sandbox.launch"] == "Warm"


async def test_a_pass_that_writes_nothing_has_no_span() -> None:
    exported = Exported()
    scene = Scene(traces=traces(exported))
    add(scene)
    await scene.step()
    exported.exporter.clear()
    scene.show()
    assert await scene.step() == []
    assert not exported.spans


async def test_what_was_written_before_a_failure_is_exported() -> None:
    exported = Exported()
    scene = WarmScene(traces=traces(exported))
    await scene.stock_up("pool-a")
    add(scene)

    async def refuses(*_: object, **__: object) -> Any:
        raise ApiError(503, "ServiceUnavailable", "not now")

    scene.server.patch = refuses  # type: ignore[method-assign]
    with pytest.raises(ApiError):
        await scene.step()
    assert list(exported.spans) == ["claim warm pod", "reconcile"]


@pytest.mark.parametrize("trace_parent", ["", "nonsense", SAMPLED[:-2] + "00", "x" * 100_000])
async def test_an_annotation_that_is_no_sampled_trace_changes_nothing(trace_parent: str) -> None:
    exported = Exported()
    scene = Scene(traces=traces(exported))
    add(scene, trace_parent)
    await scene.step()
    scene.show(as_ready)
    await scene.step()
    assert scene.told == "Ready"
    assert not exported.spans


class Initialized(Initializer):
    """Gives the chosen result."""

    def __init__(self, result: Initialization) -> None:
        self._result = result

    async def initialize(self, sandbox: Sandbox, pod: Pod, class_: SandboxClass) -> Initialization:
        return self._result


@pytest.mark.parametrize(("failure", "error"), [("", None), ("no answer", "not_initialized")])
async def test_an_initialization_is_part_of_the_next_pass(failure: str, error: str | None) -> None:
    exported, queue = Exported(), Queue()
    made = sandbox()
    metadata = made.metadata.model_copy(update={"annotations": {TRACE_PARENT_ANNOTATION: SAMPLED}})
    steps = Plan(initialize=(pod(pool="a-pool", deferred=True), class_()))
    turn = Turn(
        "one", made.model_copy(update={"metadata": metadata}), Memory(UID, expectations()), steps=steps, spans=[]
    )
    AgentRequests(Agents(), Initialized(Initialization(failure)), queue).begin(turn)
    await queue.get()
    for _ in range(2):
        traces(exported).passed(turn, NOW, NOW)
    assert exported.parent_of("initialize agent server") == SENDER
    assert (exported.spans["initialize agent server"].attributes or {}).get("error.type") == error
