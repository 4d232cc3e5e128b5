"""Secrets with which an owner's images are pulled: in the pods of its sandboxes, and in nobody else's."""

import base64
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from control_plane.operator.world import World
from control_plane.waiting import eventually
from sandbox_common.kube.resources import PODS, SECRETS, SECRETS_METADATA
from sandbox_crds.api import PULL_SECRET_LABEL
from sandbox_crds.names import owner_label, pod_name

pytestmark = pytest.mark.asyncio(loop_scope="module")

_LOGIN = {".dockerconfigjson": base64.b64encode(b'{"auths": {}}').decode()}
_numbers = itertools.count(1)
_TYPE = "kubernetes.io/dockerconfigjson"


async def add_secret(world: World, name: str, owner: str, *, of_type: str = _TYPE) -> None:
    data = _LOGIN if of_type == _TYPE else {"text": "YQ=="}
    metadata: Mapping[str, Any] = {"name": name, "labels": {PULL_SECRET_LABEL: owner_label(owner)}}
    await world.client.create(SECRETS, world.namespace, {"metadata": metadata, "type": of_type, "data": data})


async def pulls_with(world: World, owner: str, **spec: Any) -> list[str]:
    """The names in the pod of a new sandbox of this owner."""
    name = f"{world.name}-{next(_numbers)}"
    sandbox = await world.add(name, **{**spec, "owner": owner, "sessionID": name} if owner else spec)
    path = pod_name(name, sandbox.metadata.uid)
    made = await eventually(lambda: world.client.find(PODS, world.namespace, path))
    await world.delete(name)
    return [entry["name"] for entry in made["spec"].get("imagePullSecrets", [])]


async def until_pulls_with(world: World, owner: str, names: list[str]) -> None:
    """Return once the pod of a new sandbox has these: the operator has heard of the change."""

    async def seen() -> bool:
        return await pulls_with(world, owner) == names

    await eventually(seen)


async def test_an_owner_s_secrets_are_for_its_own_sandboxes(world: World) -> None:
    await world.add_class("with-login", pod={"imagePullSecrets": ["of-class"]})
    await add_secret(world, "b-of-one", "one")
    await add_secret(world, "a-of-one", "one")
    await add_secret(world, "no-login", "one", of_type="Opaque")
    await add_secret(world, "of-mail", "two@example.com")
    await until_pulls_with(world, "two@example.com", ["of-mail"])
    assert await pulls_with(world, "one") == ["a-of-one", "b-of-one"]
    assert await pulls_with(world, "one", className="with-login") == ["of-class", "a-of-one", "b-of-one"]
    assert await pulls_with(world, "three", className="with-login") == ["of-class"]
    assert await pulls_with(world, "") == []


async def test_a_secret_counts_as_long_as_it_is_the_owner_s(world: World) -> None:
    await add_secret(world, "moving", "first")
    await until_pulls_with(world, "first", ["moving"])
    body = {"metadata": {"labels": {PULL_SECRET_LABEL: "second"}}}
    await world.client.patch(SECRETS, world.namespace, "moving", body)
    await until_pulls_with(world, "second", ["moving"])
    assert await pulls_with(world, "first") == []
    await world.client.delete(SECRETS, world.namespace, "moving")
    await until_pulls_with(world, "second", [])


async def test_lists_of_metadata_have_no_content(world: World) -> None:
    await add_secret(world, "seen", "somebody")
    found = await world.client.list(SECRETS_METADATA, world.namespace, labelSelector=PULL_SECRET_LABEL)
    assert "seen" in [item["metadata"]["name"] for item in found["items"]]
    assert not [item for item in found["items"] if "data" in item]
