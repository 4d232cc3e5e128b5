"""Sandboxes and classes in a test's namespace, and what has become of them."""

from collections.abc import Callable
from typing import Any

from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_crds.names import pod_name
from sandbox_operator.reporting.conditions import READY

IMAGE = "registry.example/agent-server:1"


class World:
    """One namespace, seen by the administrator; `name` is that of the test's own Sandbox."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self.client = client
        self.namespace = namespace
        self.name = name

    async def add_class(self, name: str = "default", **spec: Any) -> None:
        """Create a SandboxClass."""
        body = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": "SandboxClass", "metadata": {"name": name}}
        await self.client.create(SANDBOX_CLASSES, self.namespace, body | {"spec": spec})

    async def add(self, name: str = "", **spec: Any) -> Sandbox:
        """Create a Sandbox without a Service, unless `spec` says otherwise."""
        body = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "metadata": {"name": name or self.name}}
        body["spec"] = {"image": IMAGE, "service": "None", **spec}
        return Sandbox.model_validate(await self.client.create(SANDBOXES, self.namespace, body))

    async def sandbox(self, name: str = "") -> Sandbox:
        """The Sandbox as it is. Raises ApiError."""
        return Sandbox.model_validate(await self.client.get(SANDBOXES, self.namespace, name or self.name))

    async def suspend(self, suspended: bool, name: str = "") -> None:
        """Set `spec.suspend`."""
        await self.client.patch(SANDBOXES, self.namespace, name or self.name, {"spec": {"suspend": suspended}})

    async def edit(self, **spec: Any) -> Sandbox:
        """Change the spec of the test's own Sandbox."""
        body = {"spec": spec}
        return Sandbox.model_validate(await self.client.patch(SANDBOXES, self.namespace, self.name, body))

    async def events(self, reason: str) -> list[KubeObject]:
        """Events about the test's own Sandbox."""
        selector = f"regarding.name={self.name},reason={reason}"
        return (await self.client.list(EVENTS, self.namespace, fieldSelector=selector))["items"]

    async def delete(self, name: str = "") -> None:
        """Delete the Sandbox."""
        await self.client.delete(SANDBOXES, self.namespace, name or self.name)

    async def until(self, reason: Reason, name: str = "", keep: Callable[[Sandbox], bool] = lambda _: True) -> Sandbox:
        """The Sandbox once its `Ready` condition has this reason and `keep` holds."""

        async def look() -> Sandbox | None:
            sandbox = await self.sandbox(name)
            condition = sandbox.status.condition(READY)
            return sandbox if condition and condition.reason == reason and keep(sandbox) else None

        try:
            return await eventually(look)
        except TimeoutError:
            raise AssertionError(f"no {reason} but {(await self.sandbox(name)).status}") from None

    async def pod(self, sandbox: Sandbox, keep: Callable[[KubeObject], bool] = lambda _: True) -> KubeObject:
        """The sandbox's pod, once it is there and `keep` holds."""

        async def look() -> KubeObject | None:
            pod = await self.client.get(PODS, self.namespace, pod_name(sandbox.metadata.name, sandbox.metadata.uid))
            return pod if keep(pod) else None

        return await eventually(look)

    async def gone(self, resource: Resource, name: str) -> None:
        """Return once there is no such object."""

        async def look() -> bool:
            try:
                await self.client.get(resource, self.namespace, name)
            except ApiError as error:
                return error.code == 404
            return False

        await eventually(look)
