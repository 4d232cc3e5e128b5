"""The requests of a plan to the API server."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from sandbox_common import times
from sandbox_common.cluster_events import ClusterEvent, decode
from sandbox_common.event_posting import post_event
from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource, unreadable
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOXES, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.builders import environment_secret
from sandbox_common.waiting import together
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name, pod_name
from sandbox_operator.builders.owned import owned
from sandbox_operator.builders.volume import ADOPTED_ANNOTATION
from sandbox_operator.reporting.refusals import Refusal, create_once, refusal_of, unless_dropped
from sandbox_operator.sandboxes.services import Service
from sandbox_operator.sandboxes.world import Create
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod, controller_uid

_SETTLED = timedelta(minutes=1)


class Outcome:
    """The result of creations: the objects that exist now, by plural, and a refusal, if there was one."""

    def __init__(self) -> None:
        self.objects: dict[str, KubeObject] = {}
        self.refusal: Refusal | None = None

    @property
    def key_id(self) -> str:
        """Id of the key in the Secret; "" if there is no Secret."""
        secret = self.of(SECRETS)
        return _key_id(secret) if secret else ""

    def of(self, resource: Resource) -> KubeObject | None:
        """The object of this resource, created or found; None if there is none."""
        return self.objects.get(resource.plural)


class Api:
    """Writes of the operator in one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def create(self, creates: Sequence[Create], owner_uid: str) -> Outcome:
        """POST all objects at the same time, but those that wait last. An existing object of this owner is as good.

        Raises ApiError, TimeoutError and aiohttp.ClientError for failures that may pass.
        """
        outcome = Outcome()
        await self._create_all([create for create in creates if not create.waits], owner_uid, outcome)
        if outcome.refusal is None:
            await self._create_all([create for create in creates if create.waits], owner_uid, outcome)
        return outcome

    async def _create_all(self, creates: Sequence[Create], owner_uid: str, outcome: Outcome) -> None:
        results = await together(self._create(create, owner_uid) for create in creates)
        for create, result in zip(creates, results, strict=True):
            if isinstance(result, Refusal):
                outcome.refusal = result
            else:
                outcome.objects[create.resource.plural] = result

    async def _create(self, create: Create, owner_uid: str) -> KubeObject | Refusal:
        stored = await self._store(create, owner_uid)
        if create.resource is not PODS or isinstance(stored, Refusal):
            return stored
        return await unless_dropped(self._client, self._namespace, create.body, stored) or stored

    async def _store(self, create: Create, owner_uid: str) -> KubeObject | Refusal:
        try:
            made = await self._client.create(create.resource, self._namespace, create.body)
        except ApiError as error:
            # Another 409 is a lost race inside the API server, for example for a quota.
            if error.code == 409 and error.reason == "AlreadyExists":
                return await self._existing(create, owner_uid)
            if refusal := refusal_of(error):
                return refusal
            raise
        if create.event:
            await self.post(create.event)
        return made

    async def _existing(self, create: Create, owner_uid: str) -> KubeObject | Refusal:
        name = create.body["metadata"]["name"]
        found = await self._client.get(create.resource, self._namespace, name)
        if controller_uid(found) == owner_uid and "deletionTimestamp" not in found["metadata"]:
            if create.key_ids is None or _key_id(found) in create.key_ids:
                return found
            # Left over from a start that lost against a claim. It is immutable, and no pod of the sandbox uses it.
            await self._client.delete(create.resource, self._namespace, name, uid=found["metadata"]["uid"])
            return await self._client.create(create.resource, self._namespace, create.body)
        if create.resource is VOLUME_CLAIMS and _is_left(found, create.body["metadata"]["labels"][SANDBOX_LABEL]):
            return await self._adopt(found, create.body)
        what = f"{create.resource.kind} {name}"
        message = f"There is a {what} that does not belong to this sandbox, or is being deleted. It must go first."
        return Refusal(Reason.PENDING, message)

    async def _adopt(self, claim: KubeObject, body: KubeObject) -> KubeObject | Refusal:
        """Give a volume claim without an owner the owner of `body`, if it has not changed (else ApiError 409)."""
        metadata = {
            "resourceVersion": claim["metadata"]["resourceVersion"],
            "ownerReferences": body["metadata"]["ownerReferences"],
            "annotations": {ADOPTED_ANNOTATION: "true"},
        }
        try:
            return await self._client.patch(
                VOLUME_CLAIMS, self._namespace, claim["metadata"]["name"], {"metadata": metadata}
            )
        except ApiError as error:
            if refusal := refusal_of(error):
                return refusal
            raise

    async def take_over(self, sandbox: Sandbox) -> Refusal | None:
        """Take over what a restored Sandbox had under its earlier UID: the volume claim and the client's environment.

        Only objects that have no owner and are labelled as the sandbox's. What is missing is omitted: its absence shows
        at the next start. Secrets cannot be renamed, so the environment is copied; then the earlier Secrets, that with
        the keys too, are deleted. Repeat it after a failure. Raises what `create` raises.
        """
        if claim := sandbox.status.volume_claim:
            try:
                await self._existing(Create(VOLUME_CLAIMS, owned(VOLUME_CLAIMS, sandbox, claim)), sandbox.metadata.uid)
            except ApiError as error:
                if error.code != 404:
                    raise
        name, former = sandbox.metadata.name, sandbox.status.sandbox_uid
        revision = sandbox.spec.environment_revision
        selector = f"{SANDBOX_LABEL}={name}"
        for secret in (await self._client.list(SECRETS, self._namespace, labelSelector=selector))["items"]:
            found = secret["metadata"]
            if not (_is_left(secret, name) and found["name"].startswith(pod_name(name, former))):
                continue
            if found["name"] == environment_secret_name(name, former, revision):
                environment: dict[str, str] = secret.get("data") or {}
                copy = environment_secret(sandbox, {}, revision) | {"data": environment}
                # There may be one: an earlier attempt has made it, or the client sent it again.
                if refusal := await create_once(self._client, SECRETS, self._namespace, copy):
                    return refusal
            await self._client.delete(SECRETS, self._namespace, found["name"], uid=found["uid"])
        return None

    async def grow(self, claim: KubeObject, size: str) -> str:
        """Patch a claim to this size. Returns the error, or "". The next pod tries again."""
        body = {"spec": {"resources": {"requests": {"storage": size}}}}
        try:
            await self._client.patch(VOLUME_CLAIMS, self._namespace, claim["metadata"]["name"], body)
        except ApiError as error:
            return error.message
        except (aiohttp.ClientError, OSError) as error:
            return str(error) or type(error).__name__
        return ""

    async def drop_former_environments(self, sandbox: Sandbox, now: datetime) -> None:
        """Delete the Secrets with environments that a client has replaced. Raises ApiError.

        A new Secret stays until the next call: it may belong to a change of the Sandbox that is just being written.
        """
        metadata, spec = sandbox.metadata, sandbox.spec
        first = environment_secret_name(metadata.name, metadata.uid)
        present = environment_secret_name(metadata.name, metadata.uid, spec.environment_revision)
        selector = f"{SANDBOX_LABEL}={metadata.name}"
        for item in (await self._client.list(SECRETS, self._namespace, labelSelector=selector))["items"]:
            found = item["metadata"]
            is_former = found["name"].startswith(first) and found["name"] != present
            if is_former and times.parse(found["creationTimestamp"]) < now - _SETTLED:
                await self._client.delete(SECRETS, self._namespace, found["name"], uid=found["uid"])

    async def get_pod(self, name: str) -> KubeObject | None:
        """The present pod of this name; None if there is none."""
        return await self._client.find(PODS, self._namespace, name)

    async def delete_pod(self, pod: Pod, grace_seconds: int | None = None) -> None:
        """Delete exactly this pod. With 0 seconds, the object goes at once, even if its node still runs the pod.

        Raises ApiError (409 if another pod has this name), as do all methods below.
        """
        await self._client.delete(PODS, self._namespace, pod.name, uid=pod.uid, grace_seconds=grace_seconds)

    async def delete_service(self, service: Service) -> None:
        """Delete exactly this Service."""
        await self._client.delete(SERVICES, self._namespace, service.name, uid=service.uid)

    async def delete_sandbox(self, sandbox: Sandbox) -> None:
        """Delete the Sandbox if it has not changed (else ApiError 409)."""
        metadata = sandbox.metadata
        await self._client.delete(
            SANDBOXES, self._namespace, metadata.name, uid=metadata.uid, resource_version=metadata.resource_version
        )

    async def pod_events(self, name: str) -> tuple[ClusterEvent, ...]:
        """The Events about objects of this name. Unreadable ones are omitted."""
        answer = await self._client.list(EVENTS, self._namespace, fieldSelector=f"regarding.name={name}")
        return tuple(unreadable.decoded(EVENTS, answer["items"], decode))

    async def patch_status(self, sandbox: Sandbox, status: Mapping[str, Any]) -> KubeObject:
        """Write the status if the Sandbox has not changed (else ApiError 409). Returns the Sandbox as stored."""
        body = {"metadata": {"resourceVersion": sandbox.metadata.resource_version}, "status": status}
        return await self._client.patch(SANDBOXES, self._namespace, sandbox.metadata.name, body, subresource="status")

    async def suspend(self, sandbox: Sandbox, patch: Mapping[str, Any]) -> KubeObject:
        """Suspend the Sandbox by a `suspension_patch`, if it has not changed (else ApiError 409).

        Returns the Sandbox as stored.
        """
        return await self._client.patch(SANDBOXES, self._namespace, sandbox.metadata.name, patch)

    async def get(self, sandbox: Sandbox) -> KubeObject | None:
        """The Sandbox as it is now; None if it is gone or replaced by another one with its name."""
        found = await self._client.find(SANDBOXES, self._namespace, sandbox.metadata.name)
        return found if found and found["metadata"]["uid"] == sandbox.metadata.uid else None

    async def post(self, *events: KubeObject) -> None:
        """Post Events. They are for people, so a failure is only logged."""
        for event in events:
            await post_event(self._client, self._namespace, event)


def _is_left(found: KubeObject, sandbox: str) -> bool:
    """Whether an object is the sandbox's by its label, and has no owner, as after a restore."""
    metadata: dict[str, Any] = found["metadata"]
    if metadata.get("ownerReferences") or "deletionTimestamp" in metadata:
        return False
    labels: dict[str, str] = metadata.get("labels") or {}
    return labels.get(SANDBOX_LABEL) == sandbox


def _key_id(secret: KubeObject) -> str:
    annotations: dict[str, str] = secret["metadata"].get("annotations") or {}
    return annotations.get(KEY_ID_ANNOTATION, "")
