"""What the API server's answers mean."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import environment_secret_name, pod_name
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.volume import ADOPTED_ANNOTATION, build_volume_claim
from sandbox_operator.reporting.suspension import suspension_patch
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import Create, World
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION
from unit.sandbox_operator.cases import NO_POOL
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import BEFORE, KEY_ID, KEYS, LATER, NOW, UID, VOLUME, class_, pod, sandbox, status

CREATES = plan(World(sandbox(), class_(), None, NOW, miss=NO_POOL), KEYS).creates
EXCEEDED = ApiError(403, "Forbidden", 'pods "one" is forbidden: exceeded quota: small, requested: pods=1')
NAMESPACE_ENDS = ApiError(
    403,
    "Forbidden",
    'pods "one" is forbidden: unable to create new content in namespace here because it is being terminated',
    causes=["NamespaceTerminating"],
)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def api(server: Server) -> Api:
    return Api(server.client, "here")


async def test_all_are_made(api: Api, server: Server) -> None:
    outcome = await api.create(CREATES, UID)
    assert outcome.refusal is None
    assert outcome.of(PODS) == server.objects["pods", pod().name]
    assert outcome.key_id == KEY_ID


async def test_they_are_made_side_by_side(monkeypatch: pytest.MonkeyPatch, api: Api, server: Server) -> None:
    meeting = asyncio.Barrier(len(CREATES))
    create = server.create

    async def create_together(resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        await meeting.wait()
        return await create(resource, namespace, body)

    monkeypatch.setattr(server, "create", create_together)
    async with asyncio.timeout(5):
        await api.create(CREATES, UID)


async def test_what_is_there_already_is_as_good_as_new(api: Api, server: Server) -> None:
    first = await api.create(CREATES, UID)
    newer = MasterKeys.of({**KEYS.versions, 2: b"n" * 32})
    second = await api.create(plan(World(sandbox(), class_(), None, NOW, miss=NO_POOL), newer).creates, UID)
    assert (second.of(PODS), second.key_id) == (first.of(PODS), KEY_ID)


async def test_a_secret_with_the_key_of_another_is_replaced(api: Api, server: Server) -> None:
    await api.create(CREATES, UID)
    theirs = KEYS.key_id("a warm pod")
    [secret] = [create for create in CREATES if create.resource == SECRETS]
    metadata = {**secret.body["metadata"], "annotations": {KEY_ID_ANNOTATION: theirs}}
    wanted = replace(secret, body={**secret.body, "metadata": metadata}, key_ids={theirs})
    outcome = await api.create([wanted], UID)
    assert (outcome.key_id, outcome.refusal) == (theirs, None)
    assert server.objects["secrets", pod().name]["metadata"]["annotations"] == {KEY_ID_ANNOTATION: theirs}
    assert server.seen[-4:] == ["create secrets", "get secrets", "delete secrets", "create secrets"]


def left_claim(**metadata: Any) -> KubeObject:
    """The volume claim of a sandbox that was restored, as a backup has it."""
    labels = {SANDBOX_LABEL: "one", "backup": "weekly"}
    return {"metadata": {"name": VOLUME, "labels": labels, "annotations": {"a": "b"}, **metadata}, "spec": {}}


RESTORED = sandbox(
    status=status(Reason.READY, sandbox_uid=BEFORE, volume_claim=VOLUME),
    environmentHash="aa" * 32,
    environmentRevision="aa",
)
WANTED = Create(VOLUME_CLAIMS, build_volume_claim(RESTORED, class_(workspace={"persistent": True})))


async def test_a_claim_that_a_backup_has_brought_back_is_adopted(api: Api, server: Server) -> None:
    made = await server.create(VOLUME_CLAIMS, "here", left_claim())
    outcome = await api.create([WANTED], UID)
    assert outcome.refusal is None
    adopted = server.objects[VOLUME_CLAIMS.plural, VOLUME]["metadata"]
    assert (adopted["uid"], adopted["labels"]) == (made["metadata"]["uid"], made["metadata"]["labels"])
    assert adopted["annotations"] == {"a": "b", ADOPTED_ANNOTATION: "true"}
    assert [owner["uid"] for owner in adopted["ownerReferences"]] == [UID]
    before = len(server.seen)
    assert (await api.create([WANTED], UID)).refusal is None
    assert server.seen[before:] == ["create persistentvolumeclaims", "get persistentvolumeclaims"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [{"uid": "another", "controller": True}]},
        {"ownerReferences": [{"uid": "another"}]},
        {"labels": {SANDBOX_LABEL: "two"}},
        {"labels": {}},
        {"deletionTimestamp": "2026-11-23T12:00:00Z"},
    ],
)
async def test_a_claim_that_may_be_another_s_stays_as_it_is(api: Api, server: Server, metadata: dict[str, Any]) -> None:
    await server.create(VOLUME_CLAIMS, "here", left_claim(**metadata))
    before = deepcopy(server.objects)
    refusal = (await api.create([WANTED], UID)).refusal
    assert refusal
    assert (refusal.reason, f"PersistentVolumeClaim {VOLUME}" in refusal.message) == (Reason.PENDING, True)
    assert await api.take_over(RESTORED) is None
    assert server.objects == before


async def test_an_adoption_that_is_refused_is_reported_and_one_that_came_too_late_is_repeated(
    api: Api, server: Server
) -> None:
    await server.create(VOLUME_CLAIMS, "here", left_claim())
    server.fail["patch persistentvolumeclaims"] = [
        ApiError(403, "Forbidden", "denied by policy"),
        ApiError(409, "Conflict", "the object has been modified"),
    ]
    refusal = (await api.create([WANTED], UID)).refusal
    assert refusal
    assert (refusal.reason, refusal.message) == (Reason.POD_REFUSED, "denied by policy")
    with pytest.raises(ApiError, match="modified"):
        await api.create([WANTED], UID)
    assert (await api.create([WANTED], UID)).refusal is None


async def left_secrets(server: Server, **labels: str) -> str:
    """The keys and the environments of before, and what is not the sandbox's; gives the environment's new name."""
    keys, first = pod_name("one", BEFORE), environment_secret_name("one", BEFORE)
    for name in (keys, first, f"{first}-aa", "another"):
        metadata = {"name": name, "labels": {SANDBOX_LABEL: "one", **labels}}
        await server.create(SECRETS, "here", {"metadata": metadata, "data": {"TOKEN": name}})
    return environment_secret_name("one", UID, "aa")


async def test_the_environment_of_before_gets_the_sandbox_s_name(api: Api, server: Server) -> None:
    wanted = await left_secrets(server)
    await server.create(VOLUME_CLAIMS, "here", left_claim())
    assert await api.take_over(RESTORED) is None
    assert {name for plural, name in server.objects if plural == SECRETS.plural} == {wanted, "another"}
    stored = server.objects[SECRETS.plural, wanted]
    assert stored["data"] == {"TOKEN": environment_secret_name("one", BEFORE, "aa")}
    assert [owner["uid"] for owner in stored["metadata"]["ownerReferences"]] == [UID]
    assert (stored["immutable"], stored["metadata"]["labels"][SANDBOX_LABEL]) == (True, "one")
    [owner] = server.objects[VOLUME_CLAIMS.plural, VOLUME]["metadata"]["ownerReferences"]
    assert owner["uid"] == UID
    before = deepcopy(server.objects)
    assert await api.take_over(RESTORED) is None
    assert server.objects == before


async def test_the_environment_that_a_client_has_sent_again_stays(api: Api, server: Server) -> None:
    wanted = await left_secrets(server)
    await server.create(SECRETS, "here", {"metadata": {"name": wanted}, "data": {"TOKEN": "newer"}})
    assert await api.take_over(RESTORED) is None
    assert server.objects[SECRETS.plural, wanted]["data"] == {"TOKEN": "newer"}


async def test_secrets_of_another_sandbox_are_left_alone(api: Api, server: Server) -> None:
    await left_secrets(server, **{SANDBOX_LABEL: "two"})
    before = deepcopy(server.objects)
    assert await api.take_over(RESTORED) is None
    assert server.objects == before


async def test_no_secret_is_deleted_before_its_copy_exists(api: Api, server: Server) -> None:
    wanted = await left_secrets(server)
    server.fail["create secrets"] = [EXCEEDED, TimeoutError()]
    refusal = await api.take_over(RESTORED)
    assert refusal
    assert refusal.reason is Reason.QUOTA_EXCEEDED
    with pytest.raises(TimeoutError):
        await api.take_over(RESTORED)
    assert (SECRETS.plural, environment_secret_name("one", BEFORE, "aa")) in server.objects
    assert await api.take_over(RESTORED) is None
    assert (SECRETS.plural, wanted) in server.objects


async def test_environments_that_a_client_has_replaced_are_deleted_once_they_are_old(api: Api, server: Server) -> None:
    first = environment_secret_name(sandbox().metadata.name, UID)
    names = {first, f"{first}-aa", f"{first}-bb", pod().name, "another"}
    for name in names:
        await server.create(SECRETS, "here", {"metadata": {"name": name}})
    changed = sandbox(environmentHash="bb" * 32, environmentRevision="bb")
    made = datetime(2026, 11, 23, 12, tzinfo=UTC)
    await api.drop_former_environments(changed, made + timedelta(seconds=60))
    assert {name for _, name in server.objects} == names
    await api.drop_former_environments(changed, made + timedelta(seconds=61))
    assert {name for _, name in server.objects} == names - {first, f"{first}-aa"}


async def test_what_waits_is_made_last_and_not_after_a_refusal(api: Api, server: Server) -> None:
    [secret, made] = CREATES
    server.fail["create secrets"] = [EXCEEDED]
    assert (await api.create([replace(made, waits=True), secret], UID)).refusal
    assert server.seen == ["create secrets"]
    await api.create([replace(made, waits=True), secret], UID)
    assert server.seen == ["create secrets", "create secrets", "create pods"]


@pytest.mark.parametrize(
    "change",
    [
        {"ownerReferences": []},
        {"ownerReferences": [{"uid": "other", "controller": True}]},
        {"deletionTimestamp": "2026-11-23T12:00:00Z"},
    ],
)
async def test_what_is_another_s_or_about_to_go_is_waited_for(
    api: Api, server: Server, change: dict[str, object]
) -> None:
    await api.create(CREATES, UID)
    server.objects["pods", pod().name]["metadata"].update(change)
    refusal = (await api.create(CREATES, UID)).refusal
    assert refusal
    assert refusal.reason is Reason.PENDING
    assert f"There is a Pod {pod().name} that does not belong to this sandbox" in refusal.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EXCEEDED, Reason.QUOTA_EXCEEDED),
        (NAMESPACE_ENDS, Reason.PENDING),
        (
            ApiError(403, "Forbidden", 'pods is forbidden: User "operator" cannot create resource "pods"'),
            Reason.PENDING,
        ),
        (ApiError(403, "Forbidden", 'RuntimeClass "absent" not found'), Reason.POD_REFUSED),
        (ApiError(422, "Invalid", "spec.containers[0].image: Required value"), Reason.POD_REFUSED),
        (ApiError(400, "BadRequest", "strict decoding error"), Reason.POD_REFUSED),
        (ApiError(413, "RequestEntityTooLarge", "limit is 3145728"), Reason.POD_REFUSED),
    ],
)
async def test_refusals(api: Api, server: Server, error: ApiError, reason: Reason) -> None:
    server.fail["create pods"] = [error]
    outcome = await api.create(CREATES, UID)
    assert outcome.refusal
    assert (outcome.refusal.reason, outcome.refusal.message) == (reason, error.message)
    assert (outcome.of(PODS), outcome.key_id) == (None, KEY_ID)


def without_user_namespaces(spec: dict[str, Any]) -> dict[str, Any]:
    """A pod's spec as servers before Kubernetes 1.33 store it."""
    return {name: value for name, value in spec.items() if name != "hostUsers"}


def without_image_volumes(spec: dict[str, Any]) -> dict[str, Any]:
    """As servers before Kubernetes 1.31 store it."""
    empty: dict[str, Any] = {"emptyDir": {}}
    known = [{"name": each["name"], **empty} if "image" in each else each for each in spec["volumes"]]
    return {**spec, "volumes": known}


@pytest.mark.parametrize("lost_answer", [False, True])
@pytest.mark.parametrize(
    ("asked", "stored", "reason"),
    [
        ({"pod": {"hostUsers": False}}, without_user_namespaces, Reason.POD_REFUSED),
        ({"agentServer": {"image": "agent:1"}}, without_image_volumes, Reason.IMAGE_VOLUMES_UNSUPPORTED),
    ],
)
async def test_a_pod_of_which_the_server_drops_a_part_goes_at_once(
    monkeypatch: pytest.MonkeyPatch,
    api: Api,
    server: Server,
    asked: dict[str, Any],
    stored: Callable[[dict[str, Any]], dict[str, Any]],
    reason: Reason,
    lost_answer: bool,
) -> None:
    create = server.create

    async def create_as_before(resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        changed = {**body, "spec": stored(body["spec"])} if resource is PODS else body
        return await create(resource, namespace, changed)

    monkeypatch.setattr(server, "create", create_as_before)
    creates = plan(World(sandbox(), class_(**asked), None, NOW, miss=NO_POOL), KEYS).creates
    if lost_answer:
        [made] = [each for each in creates if each.resource is PODS]
        await create_as_before(PODS, "here", made.body)
    outcome = await api.create(creates, UID)
    assert outcome.refusal
    assert outcome.refusal.reason is reason
    assert ("pods", pod().name) not in server.objects


@pytest.mark.parametrize(
    "error",
    [
        ApiError(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"),
        ApiError(401, "Unauthorized", ""),
        ApiError(404, "NotFound", "namespaces here not found"),
        ApiError(429, "TooManyRequests", "", 3),
        ApiError(500, "InternalError", ""),
        TimeoutError(),
        aiohttp.ClientConnectionError(),
    ],
)
async def test_failures_that_may_pass_are_raised_even_beside_a_refusal(
    api: Api, server: Server, error: Exception
) -> None:
    server.fail = {"create secrets": [EXCEEDED], "create pods": [error]}
    with pytest.raises(type(error)):
        await api.create(CREATES, UID)


async def test_a_found_object_that_goes_meanwhile_is_tried_again(api: Api, server: Server) -> None:
    await api.create(CREATES, UID)
    server.fail["get pods"] = [ApiError(404, "NotFound", "")]
    with pytest.raises(ApiError):
        await api.create(CREATES, UID)


async def test_only_the_pod_that_was_meant_is_deleted(api: Api, server: Server) -> None:
    await api.create([Create(PODS, CREATES[-1].body)], UID)
    with pytest.raises(ApiError, match="the UID differs"):
        await api.delete_pod(pod(uid="other"))


async def test_a_status_is_written_only_upon_what_was_seen(api: Api, server: Server) -> None:
    server.objects[SANDBOXES.plural, "one"] = {"metadata": {"uid": UID, "resourceVersion": "8"}}
    with pytest.raises(ApiError, match="modified"):
        await api.patch_status(sandbox(), {"podName": "x"})


async def test_a_sandbox_of_the_same_name_is_another_one(api: Api, server: Server) -> None:
    assert await api.get(sandbox()) is None
    server.objects[SANDBOXES.plural, "one"] = {"metadata": {"uid": "other"}}
    assert await api.get(sandbox()) is None
    server.objects[SANDBOXES.plural, "one"] = {"metadata": {"uid": UID}}
    assert await api.get(sandbox())
    server.fail["get sandboxes"] = [ApiError(500, "", "")]
    with pytest.raises(ApiError):
        await api.get(sandbox())


async def test_an_event_about_a_new_object_is_posted_when_it_is_new(api: Api, server: Server) -> None:
    event = build_event(sandbox(), NOW, type_="Warning", reason=EventReason.RUNTIME_CLASS_DROPPED, action="A", note="")
    create = Create(PODS, CREATES[-1].body, event)
    await api.create([create], UID)
    await api.create([create], UID)
    assert server.seen == ["create pods", "create events", "create pods", "get pods"]


async def test_a_sandbox_is_suspended_and_deleted_only_as_it_was_seen(api: Api, server: Server) -> None:
    stored = {"metadata": {"uid": UID, "resourceVersion": "7", "generation": 1}, "spec": {"image": "x"}}
    server.objects[SANDBOXES.plural, "one"] = stored
    suspended = await api.suspend(sandbox(), suspension_patch(sandbox(), "Idle", "Idle since noon." * 100))
    assert suspended["spec"] == {"image": "x", "suspend": True, "suspendReason": "Idle"}
    assert len(suspended["metadata"]["annotations"]["sandbox.openhands.dev/suspend-note"]) == 1024
    with pytest.raises(ApiError, match="modified"):
        await api.suspend(sandbox(), suspension_patch(sandbox(), "Idle", ""))
    with pytest.raises(ApiError, match="modified"):
        await api.delete_sandbox(sandbox())
    server.objects[SANDBOXES.plural, "one"] = stored
    await api.delete_sandbox(sandbox())
    assert (SANDBOXES.plural, "one") not in server.objects


async def test_events_with_the_same_name_are_one(api: Api, server: Server) -> None:
    for moment in (NOW, LATER):
        event = build_event(
            sandbox(), moment, type_="Normal", reason=EventReason.EXPIRED, action="Delete", note="", once=UID
        )
        await api.post(event)
    assert [name for plural, name in server.objects if plural == "events"] == [f"one.expired.{UID}"]


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", ""), TimeoutError(), aiohttp.ClientConnectionError()])
async def test_an_event_that_cannot_be_posted_stops_nothing(api: Api, server: Server, error: Exception) -> None:
    server.fail["create events"] = [error]
    await api.post(build_event(sandbox(), NOW, type_="Normal", reason=EventReason.POD_LOST, action="Act", note=""))
    assert server.seen == ["create events"]


def test_the_secret_is_always_among_what_is_made() -> None:
    assert CREATES[0].resource == SECRETS
