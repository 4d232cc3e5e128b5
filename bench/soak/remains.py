"""What must be, and must not be, at the end of a soak."""

from collections.abc import Sequence

from bench.plane import Plane
from bench.processes import Measured
from bench.soak.gateways import Gateways
from control_plane.cluster_scope import VOLUMES
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER

POOL = 4


async def remains(here: Plane, sandboxes: int) -> list[str]:
    """What there is too much or too little of, besides the pool, if `sandboxes` run, each with a volume."""
    client, namespace = here.client, here.namespace
    found: list[str] = []
    ours = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGER}"}
    for resource, wanted, where in (
        (SANDBOXES, sandboxes, {}),
        (PODS, POOL + sandboxes, {}),
        (SECRETS, POOL + sandboxes, ours),
        (SERVICES, sandboxes, {}),
        (VOLUME_CLAIMS, sandboxes, {}),
        (VOLUMES, sandboxes, {}),
    ):
        items = (await client.list(resource, namespace if resource.namespaced else "", **where))["items"]
        if len(items) != wanted:
            names = ", ".join(item["metadata"]["name"] for item in items[:10])
            found.append(f"{len(items)} {resource.plural} instead of {wanted}: {names}")
    return found


async def views(here: Plane, gateways: Gateways, operators: Sequence[Measured]) -> list[str]:
    """Where the cache of a process differs from what the API server has."""
    wrong: list[str] = []
    there = (await here.client.list(SANDBOXES, here.namespace))["items"]
    names = {item["metadata"]["name"] for item in there}
    for index, (port, _) in enumerate(gateways.ports):
        url, headers = f"https://127.0.0.1:{port}/list", {"X-API-Key": gateways.key}
        async with gateways.http.get(url, headers=headers) as answer:
            listed = {runtime["runtime_id"] for runtime in (await answer.json())["runtimes"]}
        if listed != names:
            wrong.append(f"gateway {index} lists {sorted(listed)} instead of {sorted(names)}")
    for index, process in enumerate(operators):
        async with gateways.http.get(f"http://127.0.0.1:{process.health_port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
        pods = values["openhands_sandbox_operator_pods"]
        sandboxes = sum(v for name, v in values.items() if name.startswith("openhands_sandbox_operator_sandboxes{"))
        if (pods, sandboxes) != (POOL + len(names), len(names)):
            wrong.append(f"operator {index} knows {pods:.0f} pods and {sandboxes:.0f} sandboxes of {len(names)}")
    return wrong
