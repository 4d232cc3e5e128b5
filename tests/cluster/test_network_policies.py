"""Each field of the table of docs/network.md, by real connections and with the policies enforced."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.connections import Stage, is_tried, world
from cluster.support import NAMESPACE, eventually
from demo.local_target import LocalTarget
from demo.targets import Images
from local_cluster.network import Namespace
from local_cluster.paths import State
from reachability.ends import OUTSIDE, Door, doors, sources
from reachability.rendering import policies, rendered
from reachability.simulation import Matrix, simulate

OWN = f"{NAMESPACE}-network"
OPENED = {
    ("gateway", "gateway, for clients"),
    ("gateway", "gateway, probes and metrics"),
    ("operator", "operator, probes and metrics"),
}
"""By kube-router 2.1: it applies the ingress rules of a policy also to connections between two pods of that policy."""


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return rendered()


@pytest.fixture(scope="module")
def to(manifests: list[dict[str, Any]]) -> list[Door]:
    return [door for door in doors(manifests) if is_tried(door)]


@pytest.fixture(scope="module")
def stage(
    target: LocalTarget,
    images: Images,
    manifests: list[dict[str, Any]],
    to: list[Door],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    peers = [*sources(manifests), *(door.peer for door in to)]
    outside = [OUTSIDE.address, *sorted({peer.address for peer in peers if not peer.namespace} - {OUTSIDE.address})]
    node = Namespace(State.from_environment().namespace)
    namespaces = [OWN, f"{OWN}-other"]
    for name in namespaces:
        target.kubectl("create", "namespace", name)
    with world(node, tmp_path_factory.mktemp("world") / "namespace", outside) as made:
        stage = Stage(target, OWN, images.agent_server, made)
        stage.populate(peers)
        yield stage
    target.kubectl("delete", "namespace", *namespaces, "--wait=false")


def test_each_field_of_the_table_is_what_real_connections_find(
    stage: Stage, manifests: list[dict[str, Any]], to: list[Door]
) -> None:
    froms, chart = sources(manifests), policies(manifests)

    def found(computed: Matrix) -> set[tuple[str, str, str, bool]]:
        """Kind of address, source and door of connections that differ from the computed table, and what they are."""
        return {
            (kind, source, door, got)
            for kind, matrix in stage.tried(froms, to, named=computed["cluster DNS"]).items()
            for door, row in matrix.items()
            for source, got in row.items()
            if got != computed[door][source]
        }

    # Without policies all is open, so what is closed afterwards is closed by them.
    assert found(simulate([], froms, to)) == set()

    computed = simulate(chart, froms, to)
    stage.apply([{**policy, "metadata": {**policy["metadata"], "namespace": OWN}} for policy in chart])
    opened = {(kind, *fields, True) for kind in ("address", "Service", "name") for fields in OPENED}
    eventually(lambda: found(computed), lambda differing: differing == opened, 40)
