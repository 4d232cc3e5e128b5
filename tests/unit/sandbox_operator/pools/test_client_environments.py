"""Clients' environments, read back."""

import base64
from typing import Any

import pytest

from sandbox_common.kube import ApiError
from sandbox_crds.names import environment_secret_name
from sandbox_operator.pools import client_environments
from sandbox_operator.pools.client_environments import ClientEnvironments, EnvironmentMissingError
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import KEYS, UID, sandbox

NAME = environment_secret_name("one", UID)
CLIENT = {"GITHUB_TOKEN": "töken", "EMPTY": ""}
WITH = sandbox(environmentHash=KEYS.environment_hash(CLIENT))
NOT_FOUND = ApiError(404, "NotFound", "not found")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_environments, "_PAUSES", (0.0, 0.0))


def server(data: Any) -> Server:
    made = Server()
    made.objects["secrets", NAME] = {"metadata": {"name": NAME}, "data": data}
    return made


def stored(environment: dict[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in environment.items()}


async def test_without_one_nothing_is_asked() -> None:
    empty = Server()
    assert await ClientEnvironments(empty.client, "here", KEYS).of(sandbox()) == {}
    assert empty.seen == []


async def test_one_get_reads_it() -> None:
    found = server(stored(CLIENT))
    assert await ClientEnvironments(found.client, "here", KEYS).of(WITH) == CLIENT
    assert found.seen == ["get secrets"]


async def test_it_may_come_later() -> None:
    late = server(stored(CLIENT))
    late.fail["get secrets"] = [NOT_FOUND, NOT_FOUND]
    assert await ClientEnvironments(late.client, "here", KEYS).of(WITH) == CLIENT


async def test_it_does_not_come() -> None:
    empty = Server()
    with pytest.raises(EnvironmentMissingError, match="there is no Secret"):
        await ClientEnvironments(empty.client, "here", KEYS).of(WITH)
    assert empty.seen == ["get secrets"] * 3


@pytest.mark.parametrize("data", [None, {}, stored({"GITHUB_TOKEN": "other"}), {"EMPTY": "?"}, {"EMPTY": "/w=="}])
async def test_another_one_is_not_taken(data: Any) -> None:
    with pytest.raises(EnvironmentMissingError, match="does not hold") as caught:
        await ClientEnvironments(server(data).client, "here", KEYS).of(WITH)
    assert "other" not in str(caught.value)


async def test_other_errors_are_the_callers() -> None:
    failing = server(stored(CLIENT))
    failing.fail["get secrets"] = [ApiError(500, "InternalError", "etcd")]
    with pytest.raises(ApiError):
        await ClientEnvironments(failing.client, "here", KEYS).of(WITH)
