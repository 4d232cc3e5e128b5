"""kopf's watches that are refused, a kopf that ends, old lists: the operator is right again within seconds."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from control_plane.faults import Asked, Fault, Kind, faulty
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.api import SANDBOX_LABEL


def first_of_each(code: int, *verbs: str) -> dict[Asked, Fault]:
    """A refusal for the first such request of kopf about each of our resources, or about the API for `get`."""
    resources = ("sandboxes", "sandboxclasses", "sandboxpools")
    asked = [Asked(verb, name, "kopf") for verb in verbs for name in (resources if verb != "get" else ("",))]
    return dict.fromkeys(asked, Fault(Kind.REFUSE, code))


@pytest.mark.parametrize(
    ("faults", "ends"),
    [
        # As while the API server learns of a new signer: kopf would never use its credentials again.
        (first_of_each(401, "list", "watch"), 0),
        # What kopf does not try again, whatever it was.
        (first_of_each(400, "get", "list", "watch"), 3),
    ],
    ids=["401", "400"],
)
async def test_the_operator_hears_again(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    tmp_path: Path,
    faults: dict[Asked, Fault],
    ends: int,
) -> None:
    left = dict(faults)

    def plan(what: Asked) -> Fault | None:
        return left.pop(Asked(what.verb, what.resource, what.user_agent.split("/")[0]), None)

    async with faulty(control_plane, tmp_path) as (proxy, kubeconfig):
        proxy.plan = plan
        log = tmp_path / "log"
        async with OperatorProcess.running(kubeconfig, namespace, master_key_dir, log) as operator:

            async def has_met_them() -> bool:
                met = not left and operator.log.count("kopf has ended and is begun again") >= ends
                return met and await operator.status("/readyz") == 200

            await eventually(has_met_them)
            # By the watch alone: the next sweep is minutes away.
            world = World(client, namespace, "heard")
            await world.add()
            await world.until(Reason.SANDBOX_CLASS_NOT_FOUND)
            assert await operator.status("/healthz") == 200


async def test_an_operator_that_begins_in_the_past_brings_nothing_back(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_key_dir: Path, tmp_path: Path
) -> None:
    """All that it lists first is from before one sandbox was deleted and another made, and no watch says so."""
    gone, new = World(client, namespace, "gone"), World(client, namespace, "new")
    await gone.add_class()
    await gone.add()
    async with faulty(control_plane, tmp_path) as (proxy, kubeconfig):
        over = await KubeClient.connect(str(kubeconfig))
        await over.list(SANDBOXES, namespace)
        await over.close()
        then = asyncio.get_running_loop().time()
        await gone.delete()
        await gone.gone(SANDBOXES, "gone")
        await new.add()
        met: Counter[Asked] = Counter()

        def plan(what: Asked) -> Fault | None:
            met[what] += 1
            if met[what] > 1 or what.verb not in {"list", "watch"}:
                return None
            age = asyncio.get_running_loop().time() - then
            return Fault(Kind.STALE, seconds=age) if what.verb == "list" else Fault(Kind.EXPIRE)

        proxy.plan = plan
        async with OperatorProcess.running(kubeconfig, namespace, master_key_dir, tmp_path / "log") as operator:

            async def is_right() -> bool:
                owners = [
                    pod["metadata"]["labels"][SANDBOX_LABEL] for pod in (await client.list(PODS, namespace))["items"]
                ]
                return owners == ["new"] and await operator.metric("openhands_sandbox_operator_sandboxes") == 1

            await eventually(is_right)
