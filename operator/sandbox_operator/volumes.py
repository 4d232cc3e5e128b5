"""What is said about the claim of a sandbox's workspace when a pod is made: pure."""

from collections.abc import Iterator
from datetime import datetime

from sandbox_crds.kube import KubeObject
from sandbox_crds.losses import loss_words
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator import times
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.losses import lost_volume
from sandbox_operator.quantity import is_less


def volume_events(sandbox: Sandbox, class_: SandboxClass, claim: KubeObject, now: datetime) -> tuple[KubeObject, ...]:
    """Events about a claim that is a new one for an old sandbox, or smaller than its class asks for, once each."""
    return tuple(_events(sandbox, class_, claim, now))


def _events(sandbox: Sandbox, class_: SandboxClass, claim: KubeObject, now: datetime) -> Iterator[KubeObject]:
    name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
    if loss := lost_volume(sandbox, times.parse(claim["metadata"]["creationTimestamp"]), now):
        yield build_event(
            sandbox,
            now,
            type_="Warning",
            reason=EventReason.WORKSPACE_LOST,
            action="CreateVolumeClaim",
            note=loss_words(loss),
            once=uid,
        )
    wanted = class_.spec.workspace.size
    present = claim["spec"]["resources"]["requests"]["storage"]
    if is_less(present, wanted):
        yield build_event(
            sandbox,
            now,
            type_="Warning",
            reason=EventReason.VOLUME_SIZE_KEPT,
            action="CreatePod",
            note=(
                f"The workspace's volume keeps its size of {present}, though the class asks for {wanted} now. "
                f"Where its StorageClass allows expansion, enlarge the claim: kubectl patch pvc {name} --type merge -p "
                f'\'{{"spec": {{"resources": {{"requests": {{"storage": "{wanted}"}}}}}}}}\''
            ),
            once=f"{uid}-{wanted.lower()}",
        )
