"""Reads of pods, and whom they are for."""

import asyncio
from typing import Any, cast

import pytest

from sandbox_common import pod_identity
from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_common.pod_identity import PodIdentities, denial

IP = "10.0.0.9"


def pod(uid: str = "uid", ip: str = IP, phase: str = "Running", **metadata: str) -> KubeObject:
    return {"metadata": {"name": "pod", "uid": uid, **metadata}, "status": {"phase": phase, "podIP": ip}}


class ApiServer:
    """Answers each read when the test lets it."""

    def __init__(self) -> None:
        self.reads: list[asyncio.Future[KubeObject | None]] = []

    async def find(self, resource: Resource, namespace: str, name: str) -> KubeObject | None:
        assert (resource, namespace, name) == (PODS, "here", "pod")
        self.reads.append(asyncio.get_running_loop().create_future())
        return await self.reads[-1]

    @property
    def identities(self) -> PodIdentities:
        return PodIdentities(cast(KubeClient, self), "here")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod(), ""),
        (pod(phase="Pending"), ""),
        (None, "is gone"),
        (pod(uid="other"), "is gone"),
        (pod(deletionTimestamp="2026-01-02T03:04:05Z"), "is being deleted"),
        (pod(phase="Failed"), "has ended"),
        (pod(phase="Succeeded"), "has ended"),
        (pod(ip="10.0.0.10"), "has another address"),
        (pod(ip=""), "has another address"),
        ({"metadata": {"uid": "uid"}}, "has another address"),
    ],
)
def test_what_has_become_of_a_pod(found: KubeObject | None, expected: str) -> None:
    assert denial(found, "uid", IP) == expected


@pytest.mark.parametrize("unknown", [("", "uid", IP), ("pod", "", IP), ("pod", "uid", "")])
async def test_a_status_that_names_no_pod_proves_nothing(unknown: tuple[str, str, str]) -> None:
    server = ApiServer()
    assert await server.identities.denial(*unknown) == "is not known"
    assert server.reads == []


async def test_one_read_is_for_all_who_asked_before_it_and_the_next_for_all_others() -> None:
    server = ApiServer()
    identities = server.identities

    def ask(uid: str = "uid") -> asyncio.Task[str]:
        return asyncio.create_task(identities.denial("pod", uid, IP))

    first = [ask(), ask(), ask("other")]
    await settle()
    later = [ask()]
    await settle()
    later.append(ask())
    await settle()
    assert len(server.reads) == 1
    server.reads[0].set_result(pod())
    assert await asyncio.gather(*first) == ["", "", "is gone"]
    await settle()
    assert len(server.reads) == 2
    assert not any(task.done() for task in later)
    server.reads[1].set_result(None)
    assert await asyncio.gather(*later) == ["is gone", "is gone"]
    last = ask()
    await settle()
    assert len(server.reads) == 3
    server.reads[2].set_result(pod())
    assert await last == ""
    assert not vars(identities)["_under_way"]
    assert not vars(identities)["_next"]


async def test_one_who_goes_takes_the_answer_from_nobody() -> None:
    server = ApiServer()
    identities = server.identities
    leaving, staying = [asyncio.create_task(identities.denial("pod", "uid", IP)) for _ in range(2)]
    await settle()
    leaving.cancel()
    await settle()
    server.reads[0].set_result(pod())
    assert await staying == ""


async def test_a_read_that_fails_is_no_proof_and_the_next_is_tried() -> None:
    server = ApiServer()
    identities = server.identities
    for failure in (ApiError(500, "", "etcd"), TimeoutError()):
        asking = asyncio.create_task(identities.denial("pod", "uid", IP))
        await settle()
        server.reads[-1].set_exception(failure)
        with pytest.raises(type(failure)):
            await asking
    assert len(server.reads) == 2


async def test_a_read_that_lasts_keeps_the_next_for_a_moment_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_identity, "_BEFORE_SECONDS", 0.02)
    monkeypatch.setattr(pod_identity, "READ_SECONDS", 0.2)
    server = ApiServer()
    identities = server.identities
    first = asyncio.create_task(identities.denial("pod", "uid", IP))
    await settle()
    second = asyncio.create_task(identities.denial("pod", "uid", IP))
    async with asyncio.timeout(5):
        while len(server.reads) < 2:  # noqa: ASYNC110 (nobody else knows)
            await asyncio.sleep(0.01)
    server.reads[1].set_result(pod())
    assert await second == ""
    with pytest.raises(TimeoutError):
        await first
    state: dict[str, Any] = vars(identities)
    assert (state["_under_way"], state["_next"]) == ({}, {})
