"""What is read of pull Secrets."""

import base64
from typing import Any, cast

import pytest

from sandbox_common.kube import ApiError, KubeClient
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from unit.sandbox_gateway.support import Classes


class Client:
    """An API server that gives the same answer to each question."""

    def __init__(self, answer: dict[str, Any] | ApiError) -> None:
        self._answer = answer

    async def list(self, *_: object, **__: object) -> dict[str, Any]:
        """Like KubeClient.list."""
        if isinstance(self._answer, ApiError):
            raise self._answer
        return self._answer


def secrets(answer: dict[str, Any] | ApiError) -> PullSecrets:
    return PullSecrets(cast("KubeClient", Client(answer)), "here", cast("SandboxClasses", Classes()))


async def test_none_are_not_the_same_as_unreadable_ones() -> None:
    assert await secrets({"items": []}).read("alice", "default") == []
    assert await secrets(ApiError(500, "InternalError", "down")).read("alice", "default") is None


@pytest.mark.parametrize("content", ["no base64!", "\u00e9"])
async def test_a_malformed_secret_hinders_no_others(content: str) -> None:
    good = base64.b64encode(b"{}").decode()
    items = [{"data": {".dockerconfigjson": content}}, {"data": {".dockerconfigjson": good}}]
    assert await secrets({"items": items}).read("alice", "default") == [b"{}"]
