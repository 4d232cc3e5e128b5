"""What clients send as environment: kept in a Secret that belongs to the Sandbox, and nowhere else."""

from collections.abc import Mapping

import structlog

from sandbox_common.environment import INSTRUCTIONS, is_reserved
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.sandboxes.builders import environment_secret

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class EnvironmentSecrets:
    """Makes the Secrets of one namespace. Raises ApiError, and what KubeClient raises when it is not reached."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._made: dict[str, str] = {}
        """The name of the Secret that was made last, by runtime id."""

    async def ensure(self, sandbox: Sandbox, environment: Mapping[str, str], revision: str) -> None:
        """As `make`, unless this replica has done so.

        For a Sandbox that has this environment already: who made it may have ended between the two writes.
        """
        if environment and self._made.get(sandbox.metadata.name) != _name(sandbox, revision):
            await self.make(sandbox, environment, revision)

    async def make(self, sandbox: Sandbox, environment: Mapping[str, str], revision: str) -> None:
        """Make the Secret with the environment that the sandbox is given, of this revision.

        Also if this replica has done so: one that no spec has come to name is deleted like those of former ones.
        """
        if not environment:
            return
        secret = environment_secret(sandbox, environment, revision)
        while not await self._is_there(secret):
            pass  # a ResourceQuota was just being counted for somebody else
        self._made[sandbox.metadata.name] = _name(sandbox, revision)

    def forget(self, name: str) -> None:
        """The sandbox has been deleted, and its Secrets with it."""
        self._made.pop(name, None)

    async def _is_there(self, secret: KubeObject) -> bool:
        """Whether it has been made, now or before; False when the API server wants to be asked again."""
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
    """Without the variables that are not the client's to set; what is dropped and not heeded is logged by name."""
    reserved = sorted(name for name in environment if is_reserved(name) and name not in INSTRUCTIONS)
    if reserved:
        _log.warning("reserved variables dropped", sandbox=name, variables=reserved)
    return {key: value for key, value in environment.items() if not is_reserved(key)}
