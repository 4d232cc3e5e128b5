"""What is to become of a sandbox's Service."""

from typing import Any

import pytest

from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.reasons import Reason
from sandbox_operator.builders.service import build_service
from sandbox_operator.sandboxes.services import Service, Services, change, decode
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import NOW, UID, pod, ready, sandbox
from unit.sandbox_operator.scene import Scene, answering

OWN = sandbox(service="Headless")


def stored(port: int = 60000, uid: str = "service", **fields: Any) -> KubeObject:
    """The Service of the sandbox as the API server answers it."""
    body = build_service(OWN, port)
    metadata = {**body["metadata"], "uid": uid, "resourceVersion": "5"}
    [declared] = body["spec"]["ports"]
    ports = [{**declared, "protocol": "TCP", "targetPort": declared["port"]}]
    return {**body, "metadata": metadata, "spec": {**body["spec"], "ports": ports, "type": "ClusterIP", **fields}}


def without_ports() -> KubeObject:
    service = stored()
    del service["spec"]["ports"]
    return service


def at(port: int) -> Pod:
    return ready(ports=(("http", port), ("work-1", 12000)))


FOREIGN = stored()
FOREIGN["metadata"]["ownerReferences"] = []
DRIFTED = {
    "its port": stored(60001),
    "its selector": stored(selector={}),
    "its cluster IP": stored(clusterIP="10.0.0.1"),
    "where its port leads": stored(ports=[{"name": "http", "port": 60000, "targetPort": 1}]),
    "that it has a port": without_ports(),
}


@pytest.mark.parametrize(
    ("service", "spec", "of_pod"),
    [
        (stored(), "Headless", at(60000)),
        (None, "None", at(60000)),
        # Somebody else's is left alone.
        (FOREIGN, "None", at(60000)),
        (FOREIGN, "Headless", at(60000)),
        # Without a pod it leads nowhere; a new one comes with it.
        (None, "Headless", None),
        (stored(60001), "Headless", pod(deletion_requested=NOW)),
    ],
)
def test_nothing_is_written_for_what_is_so(service: KubeObject | None, spec: str, of_pod: Pod | None) -> None:
    assert change(sandbox(service=spec), of_pod, decode(service) if service else None) is None


@pytest.mark.parametrize("what", DRIFTED)
def test_a_service_that_differs_is_made_anew(what: str) -> None:
    service = decode(DRIFTED[what])
    made = change(OWN, at(60000), service)
    assert made
    assert made.delete is service
    assert made.create == build_service(OWN, 60000)


def test_it_leads_to_the_pod_and_not_to_what_the_spec_says() -> None:
    changed = sandbox(service="Headless", command=["agent-server", "--port", "60001"])
    assert change(changed, at(60000), decode(stored(60000))) is None
    made = change(changed, at(60001), decode(stored(60000)))
    assert made
    assert made.create
    assert made.create["spec"]["ports"] == [{"name": "http", "port": 60001}]


@pytest.mark.parametrize("of_pod", [None, at(60000)])
def test_one_that_is_not_wanted_is_deleted(of_pod: Pod | None) -> None:
    made = change(sandbox(), of_pod, decode(stored()))
    assert made
    assert isinstance(made.delete, Service)
    assert made.create is None


@pytest.mark.parametrize("item", [{}, {"metadata": None}, {"metadata": {"name": "a"}}, {**stored(), "spec": None}])
def test_what_is_no_service_is_refused(item: KubeObject) -> None:
    with pytest.raises(ValueError, match=r"not a Service"):
        decode(item)


async def started(scene: Scene) -> None:
    """A sandbox with a Service that is ready."""
    await scene.start()
    scene.edit(service="Headless")
    assert await scene.step() == ["patch sandboxes", "create services"]
    assert await scene.step() == []


async def test_a_service_comes_and_goes_with_the_spec() -> None:
    scene = Scene()
    await started(scene)
    service = scene.server.objects["services", "one"]
    assert service["metadata"]["ownerReferences"][0]["uid"] == UID
    scene.edit(service="None")
    assert await scene.step() == ["patch sandboxes", "delete services"]
    assert await scene.step() == []
    assert ("services", "one") not in scene.server.objects


async def test_a_service_that_is_refused_is_reported_and_the_sandbox_goes_on() -> None:
    scene = Scene()
    await scene.start()
    scene.edit(service="Headless")
    scene.server.fail["create services"] = [ApiError(403, "Forbidden", "exceeded quota: services")]
    assert await scene.step() == ["patch sandboxes", "create services", "create events"]
    assert scene.told == Reason.READY
    [event] = scene.events("ServiceRefused")
    assert "exceeded quota" in event["note"]
    # It is tried again in a while.
    assert 60.0 in scene.queue.put_off
    assert await scene.step() == ["create services"]


async def test_a_service_of_the_same_name_that_is_not_its_own_is_reported() -> None:
    scene = Scene()
    await scene.start()
    scene.server.objects["services", "one"] = FOREIGN
    scene.edit(service="Headless")
    assert await scene.step() == ["patch sandboxes", "create services", "get services", "create events"]
    assert scene.told == Reason.READY
    assert scene.server.objects["services", "one"] is FOREIGN


async def test_what_was_just_written_counts_until_it_is_seen() -> None:
    scene = Scene()
    services = Services(scene.server.client, "here")
    services.made(stored())
    assert services.get("one") == decode(stored())
    services.deleted(decode(stored()))
    assert services.get("one") is None
    services.informer.version = 9
    services.made(stored())
    # Older than what has been seen: it has gone since.
    assert services.get("one") is None


async def test_a_new_pod_finds_its_service() -> None:
    scene = Scene()
    await started(scene)
    scene.lose()
    scene.server.objects = {key: body for key, body in scene.server.objects.items() if key[0] != "pods"}
    requests = await scene.step()
    assert "create pods" in requests
    assert "create services" not in requests
    scene.show(answering)
    assert "delete services" not in await scene.step()
