"""Client and informer against a real API server."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp.connector import Connection

from control_plane.cluster_scope import connected
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import ApiError, Informer, KubeClient, KubeObject, Resource, repetition
from sandbox_common.kube import client as module
from sandbox_common.kube.client import Lines
from sandbox_common.kube.resources import PODS, SECRETS


def secret(name: str, **data: str) -> KubeObject:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def data_keys(item: KubeObject) -> list[str]:
    keys = sorted(item.get("data", {}))
    if "unreadable" in keys:
        raise ValueError("unreadable")
    return keys


@asynccontextmanager
async def following(informer: Informer[Any]) -> AsyncGenerator[None]:
    task = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.wait_synced(), PATIENCE)
        yield
    finally:
        task.cancel()


class Same(KubeClient):
    """A client over another one's connections."""

    def __init__(self, real: KubeClient) -> None:
        super().__init__(real._api, real._session)  # pyright: ignore[reportPrivateUsage]


async def test_a_refusal_has_code_reason_and_message(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await client.get(SECRETS, namespace, "none")
    assert (refusal.value.code, refusal.value.reason) == (404, "NotFound")
    assert '"none"' in refusal.value.message


async def test_delete_minds_the_uid_and_forgives_absence(client: KubeClient, namespace: str) -> None:
    made = await client.create(SECRETS, namespace, secret("one"))
    with pytest.raises(ApiError) as refusal:
        await client.delete(SECRETS, namespace, "one", uid="another")
    assert refusal.value.code == 409
    await client.delete(SECRETS, namespace, "one", uid=made["metadata"]["uid"])
    await client.delete(SECRETS, namespace, "one")


async def test_a_merge_patch_removes_what_is_null(client: KubeClient, namespace: str) -> None:
    await client.create(SECRETS, namespace, secret("patched", a="1", b="2"))
    patched = await client.patch(SECRETS, namespace, "patched", {"data": {"a": None}})
    assert sorted(patched["data"]) == ["b"]


async def test_an_unreachable_server_raises(control_plane: ControlPlane) -> None:
    client = await KubeClient.connect(str(control_plane.kubeconfig), patience=0.2)
    client.configuration.host = "https://127.0.0.1:1"
    with pytest.raises(OSError, match="Cannot connect"):
        await client.get(SECRETS, "default", "none")
    await client.close()


class Held(Exception):
    """A guard's refusal."""


async def test_a_guard_holds_writes_back_and_lets_reads_through(client: KubeClient, namespace: str) -> None:
    await client.create(SECRETS, namespace, secret("kept", a="1"))

    def guard() -> float:
        raise Held

    guarded = client.guarded(guard)
    assert (await guarded.get(SECRETS, namespace, "kept"))["metadata"]["name"] == "kept"
    with pytest.raises(Held):
        await guarded.create(SECRETS, namespace, secret("another"))
    with pytest.raises(Held):
        await guarded.patch(SECRETS, namespace, "kept", {"stringData": {"a": "2"}})
    with pytest.raises(Held):
        await guarded.delete(SECRETS, namespace, "kept")
    await client.create(SECRETS, namespace, secret("another"))
    await client.delete(SECRETS, namespace, "another")


async def test_the_guard_is_asked_when_there_is_a_connection(control_plane: ControlPlane, namespace: str) -> None:
    """Whoever was held up on the way to it may not write any more."""
    async with connected(control_plane) as fresh:
        held_up = asyncio.Event()

        def guard() -> float:
            assert held_up.is_set(), "asked before"
            raise Held

        writing = asyncio.create_task(fresh.guarded(guard).create(SECRETS, namespace, secret("one")))
        await asyncio.sleep(0)
        held_up.set()
        with pytest.raises(Held):
            await writing


async def test_a_write_is_given_up_by_the_kernel_in_time(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    send = aiohttp.ClientRequest.send

    async def look(request: aiohttp.ClientRequest, conn: Connection) -> aiohttp.ClientResponse:
        assert conn.transport
        of_socket = conn.transport.get_extra_info("socket")
        seen.append(of_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
        return await send(request, conn)

    monkeypatch.setattr(aiohttp.ClientRequest, "send", look)
    await client.guarded(lambda: 2.5).create(SECRETS, namespace, secret("one"))
    await client.guarded(lambda: 0.00001).create(SECRETS, namespace, secret("two"))
    assert seen == [2500, 1]


async def test_answers_are_told(control_plane: ControlPlane, namespace: str) -> None:
    told: list[tuple[str, int]] = []
    client = await KubeClient.connect(
        str(control_plane.kubeconfig), observer=lambda method, code: told.append((method, code))
    )
    with pytest.raises(ApiError):
        await client.get(SECRETS, namespace, "absent")
    await client.guarded(lambda: 1.0).create(SECRETS, namespace, secret("one"))
    await client.close()
    assert told == [("GET", 404), ("POST", 201)]


@asynccontextmanager
async def of_default_account(
    control_plane: ControlPlane, administrator: KubeClient, namespace: str, told: list[tuple[str, int]], directory: Path
) -> AsyncGenerator[KubeClient]:
    """A client with the rights of the namespace's default service account: none, at first."""
    account = Resource("", "v1", "serviceaccounts", "ServiceAccount").path(namespace, "default", "token")
    issued = await administrator._send("POST", account, body={"spec": {}})  # pyright: ignore[reportPrivateUsage]
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": issued["status"]["token"]}
    path = directory / "of-default-account"
    path.write_text(yaml.safe_dump(config))
    client = await KubeClient.connect(str(path), observer=lambda method, code: told.append((method, code)), patience=60)
    try:
        yield client
    finally:
        await client.close()


async def allow_secrets(client: KubeClient, namespace: str) -> None:
    """Have the default service account create Secrets."""
    api = "rbac.authorization.k8s.io"
    name = {"metadata": {"name": "secrets"}}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    await client.create(Resource(api, "v1", "roles", "Role"), namespace, {**name, "rules": [rule]})
    binding = {
        **name,
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "secrets"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    await client.create(Resource(api, "v1", "rolebindings", "RoleBinding"), namespace, binding)


async def test_who_lacks_a_right_asks_again(
    control_plane: ControlPlane, client: KubeClient, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an API server that has just been started may not know the Roles yet."""
    monkeypatch.setattr(repetition, "_RIGHTS_SECONDS", 60.0)
    told: list[tuple[str, int]] = []
    async with of_default_account(control_plane, client, namespace, told, tmp_path) as poor:
        making = asyncio.create_task(poor.create(SECRETS, namespace, secret("one")))

        async def refused_thrice() -> bool:
            return len(told) >= 3

        await eventually(refused_thrice)
        await allow_secrets(client, namespace)
        assert (await making)["metadata"]["name"] == "one"
    assert [*dict.fromkeys(told)] == [("POST", 403), ("POST", 201)]


async def test_who_lacks_a_right_is_told_so(
    control_plane: ControlPlane, client: KubeClient, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetition, "_RIGHTS_SECONDS", 0.2)
    told: list[tuple[str, int]] = []
    async with of_default_account(control_plane, client, namespace, told, tmp_path) as poor:
        with pytest.raises(ApiError) as refusal:
            await poor.create(SECRETS, namespace, secret("one"))
    assert refusal.value.lacks_right
    assert told == [("POST", 403)] * len(told)
    assert len(told) > 1


async def test_what_a_policy_refuses_is_not_asked_again(control_plane: ControlPlane, namespace: str) -> None:
    told: list[tuple[str, int]] = []
    client = await KubeClient.connect(
        str(control_plane.kubeconfig), observer=lambda method, code: told.append((method, code))
    )
    lesser = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    with pytest.raises(ApiError, match="violates PodSecurity") as refusal:
        await client.create(PODS, namespace, lesser)
    await client.close()
    assert not refusal.value.lacks_right
    assert told == [("POST", 403)]


async def test_the_informer_sees_only_what_its_fields_say(client: KubeClient, namespace: str) -> None:
    for name in ("one", "two"):
        await client.create(SECRETS, namespace, secret(name))
    informer = Informer(client, SECRETS, namespace, data_keys, field_selector="metadata.name=two")
    async with following(informer):
        assert len(informer) == 1
        assert informer.get("two") == []


async def test_pages_are_all_of_one_moment(client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE_ITEMS", 2)
    for number in range(5):
        await client.create(SECRETS, namespace, secret(f"number-{number}"))
    names: list[list[str]] = []
    versions: set[str] = set()
    async for page in client.pages(SECRETS, namespace):
        names.append([item["metadata"]["name"] for item in page["items"]])
        versions.add(page["metadata"]["resourceVersion"])
        if len(names) == 1:
            await client.create(SECRETS, namespace, secret("number-9"))
            await client.delete(SECRETS, namespace, "number-4")
    assert names == [["number-0", "number-1"], ["number-2", "number-3"], ["number-4"]]
    assert len(versions) == 1


async def test_the_informer_misses_nothing_that_happens_while_it_reads_a_long_list(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE_ITEMS", 2)
    for number in range(5):
        await client.create(SECRETS, namespace, secret(f"number-{number}", a="1"))

    class Slow(Same):
        async def pages(self, resource: Resource, namespace: str, **query: str) -> AsyncGenerator[KubeObject]:
            first = True
            async for page in super().pages(resource, namespace, **query):
                if first:
                    first = False
                    await client.delete(SECRETS, namespace, "number-0")
                    await client.patch(SECRETS, namespace, "number-4", {"stringData": {"b": "2"}})
                yield page

    informer = Informer(Slow(client), SECRETS, namespace, data_keys)
    async with following(informer):
        await eventually(lambda: asyncio.sleep(0, len(informer) == 4 and informer.get("number-4") == ["a", "b"]))
        assert informer.get("number-0") is None


async def test_the_informer_follows(client: KubeClient, namespace: str) -> None:
    seen: list[tuple[str, list[str] | None]] = []
    await client.create(SECRETS, namespace, secret("early", a="1"))
    informer = Informer(client, SECRETS, namespace, data_keys, on_change=lambda name, item: seen.append((name, item)))
    async with following(informer):
        assert informer.get("early") == ["a"]
        await client.create(SECRETS, namespace, secret("late", b="2"))
        await eventually(lambda: asyncio.sleep(0, informer.get("late") == ["b"]))
        await client.patch(SECRETS, namespace, "early", {"stringData": {"c": "3"}})
        await eventually(lambda: asyncio.sleep(0, informer.get("early") == ["a", "c"]))
        await client.delete(SECRETS, namespace, "late")
        await eventually(lambda: asyncio.sleep(0, informer.get("late") is None))
    assert seen == [("early", ["a"]), ("late", ["b"]), ("early", ["a", "c"]), ("late", None)]


async def test_the_informer_sees_only_its_label(client: KubeClient, namespace: str) -> None:
    labelled = secret("labelled")
    labelled["metadata"]["labels"] = {"kind": "wanted"}
    informer = Informer(client, SECRETS, namespace, data_keys, label_selector="kind=wanted")
    async with following(informer):
        await client.create(SECRETS, namespace, secret("other"))
        await client.create(SECRETS, namespace, labelled)
        await eventually(lambda: asyncio.sleep(0, informer.get("labelled") is not None))
        assert len(informer) == 1
        # Losing the label is being gone.
        await client.patch(SECRETS, namespace, "labelled", {"metadata": {"labels": {"kind": None}}})
        await eventually(lambda: asyncio.sleep(0, len(informer) == 0))


async def test_an_unreadable_object_stops_nobody(client: KubeClient, namespace: str) -> None:
    informer = Informer(client, SECRETS, namespace, data_keys)
    async with following(informer):
        await client.create(SECRETS, namespace, secret("bad", unreadable="1"))
        await client.create(SECRETS, namespace, secret("good", a="1"))
        await eventually(lambda: asyncio.sleep(0, informer.get("good") == ["a"]))
        assert informer.get("bad") is None


class Gap(Same):
    """A client whose watches the server has forgotten: each one ends at once with 410."""

    @asynccontextmanager
    async def watch(self, *_arguments: Any, **_query: str) -> AsyncGenerator[Lines]:
        reader = asyncio.StreamReader()
        reader.feed_data(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n')
        reader.feed_eof()
        yield reader


async def test_a_deletion_in_a_watch_gap_is_found(client: KubeClient, namespace: str) -> None:
    await client.create(SECRETS, namespace, secret("goes"))
    gone: list[str] = []
    informer = Informer(
        Gap(client),
        SECRETS,
        namespace,
        data_keys,
        on_change=lambda name, item: gone.append(name) if item is None else None,
    )
    async with following(informer):
        assert informer.get("goes") is not None
        await client.delete(SECRETS, namespace, "goes")
        await eventually(lambda: asyncio.sleep(0, gone == ["goes"]))
