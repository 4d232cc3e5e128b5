"""The environment that a client sends is in a Secret of its Sandbox, and nowhere else."""

from collections.abc import Mapping

import structlog

from sandbox_common.environment import INSTRUCTIONS, is_reserved
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SECRETS
from sandbox_common.sandboxes.builders import environment_secret
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EnvironmentSecrets:
    """Makes the Secrets of one namespace. Raises ApiError, and KubeClient's errors if there is no connection."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._made: dict[str, str] = {}
        """The name of the latest Secret, by runtime id."""

    async def ensure(self, sandbox: Sandbox, environment: Mapping[str, str], revision: str) -> None:
        """As `make`, unless this replica has made it.

        For a Sandbox that already has this environment: its maker may have ended between the two writes.
        """
        if environment and self._made.get(sandbox.metadata.name) != _name(sandbox, revision):
            await self.make(sandbox, environment, revision)

    async def make(self, sandbox: Sandbox, environment: Mapping[str, str], revision: str) -> None:
        """Make the Secret with this revision of the sandbox's environment.

        Even if this replica has made it before: the operator deletes Secrets that no spec names.
        """
        if not environment:
            return
        secret = environment_secret(sandbox, environment, revision)
        while not await self._is_there(secret):
            pass  # the API server was counting a ResourceQuota for another request
        self._made[sandbox.metadata.name] = _name(sandbox, revision)

    def forget(self, name: str) -> None:
        """The sandbox has been deleted, and its Secrets with it."""
        self._made.pop(name, None)

    async def _is_there(self, secret: KubeObject) -> bool:
        """Whether it exists now; False when the API server asks for another attempt."""
        try:
            await self._client.create(SECRETS, self._namespace, secret)
        except ApiError as error:
            if error.code != 409:
                raise
            return error.reason == "AlreadyExists"
        return True


def _name(sandbox: Sandbox, revision: str) -> str:
    return environment_secret_name(sandbox.metadata.name, sandbox.metadata.uid, revision)


def usable(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """Without the variables that clients may not set. The names of those that are dropped without effect are logged."""
    reserved = sorted(name for name in environment if is_reserved(name) and name not in INSTRUCTIONS)
    if reserved:
        _log.warning("reserved variables dropped", sandbox=name, variables=reserved)
    return {key: value for key, value in environment.items() if not is_reserved(key)}
