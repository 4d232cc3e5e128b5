"""Operator and gateway of a plane, with the CPU of all processes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.cpu import CLIENT, Cpu, EndedError
from bench.ours import Gateway, Sandboxes
from bench.plane import Plane
from bench.processes import Measured

SHORT = {"kube-apiserver": "apiserver", "kube-scheduler": "scheduler", "kube-controller-manager": "controllers"}
"""Names of processes in tables, where they differ."""
PROCESSES = ("apiserver", "etcd", "scheduler", "kwok", "controllers", "operator", "gateway", CLIENT)
"""All that `Product.cpu` knows."""
OURS = ("sandbox-gateway", "sandbox-operator")
"""User agents."""


@dataclass(frozen=True)
class Product:
    """Operator and gateway at work. `cpu` knows them, the control plane, and this process."""

    plane: Plane
    operator: Measured
    gateway: Measured
    cpu: Cpu
    http: Gateway
    sandboxes: Sandboxes


@asynccontextmanager
async def running(plane: Plane) -> AsyncGenerator[Product]:
    """Both are ready."""
    operator, gateway = await plane.operator(), await plane.gateway()
    try:
        await operator.ready()
        await gateway.ready()
        daemons = {**plane.control_plane.processes(), **plane.nodes.processes()}
        pids = {SHORT.get(name, name).removesuffix("-bench"): process.pid for name, process in daemons.items()}
        cpu = Cpu({**pids, "operator": operator.pid, "gateway": gateway.pid})
        async with Gateway.of(plane) as http:
            yield Product(plane, operator, gateway, cpu, http, Sandboxes(plane))
    except EndedError as error:
        # Their logs go with the plane.
        said = operator.last_words() or gateway.last_words()
        raise EndedError(f"{error} has ended during the measurement. Its last words:\n{said}") from None
    finally:
        await gateway.stop()
        await operator.stop()
