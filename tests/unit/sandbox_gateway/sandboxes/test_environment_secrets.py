"""The Secret of an environment is there when its Sandbox is, whatever the API server says first."""

from typing import Any, cast

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_gateway.sandboxes.environment_secrets import EnvironmentSecrets
from unit.sandbox_gateway.support import sandbox

QUOTA = ApiError(409, "Conflict", 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified')
EXISTS = ApiError(409, "AlreadyExists", 'secrets "sb-a-env" already exists')


class Secrets:
    """A KubeClient that answers creations with these refusals, and then as asked."""

    def __init__(self, *refusals: ApiError) -> None:
        self.refusals = list(refusals)
        self.asked = 0

    async def create(self, _resource: Any, _namespace: str, body: KubeObject) -> KubeObject:
        self.asked += 1
        if self.refusals:
            raise self.refusals.pop(0)
        return body


async def asked(secrets: Secrets, times: int = 1) -> int:
    """How many creations it took to ensure the same Secret so many times."""
    environment_secrets = EnvironmentSecrets(cast("KubeClient", secrets), "n")
    for _ in range(times):
        await environment_secrets.ensure(sandbox(), {"A": "1"}, "")
    return secrets.asked


async def test_it_is_made_once_and_may_be_there_already() -> None:
    assert await asked(Secrets(), times=2) == 1
    assert await asked(Secrets(EXISTS), times=2) == 1


async def test_a_quota_that_is_just_being_counted_loses_no_environment() -> None:
    assert await asked(Secrets(QUOTA, QUOTA)) == 3
    assert await asked(Secrets(QUOTA, EXISTS)) == 2
