"""What the API server takes and refuses as Sandbox and SandboxClass; each refusal names the field."""

import re
from functools import partial
from typing import Any

import pytest

from control_plane.cluster_scope import CUSTOM_RESOURCES, manifests
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES, Resource

MALFORMED = ("a b", "../../etc", "$(id)", "http://x/y", "a\n", "UPPER", "a:b:c")
REQUIRED = {"image": "registry.example/agent-server:1"}
LARGEST = ["x" * 8192] * 8
LARGE = [*LARGEST, "y"]
LARGEST_ENV = [{"name": "A" * 32, "value": "x" * (32768 - 32)}] * 4
LARGE_ENV = [*LARGEST_ENV, {"name": "A"}]


def plain(error: ApiError) -> str:
    """Its message as Kubernetes 1.36 words it: earlier ones name the type of a value that is no scalar."""
    return re.sub(r'(Invalid value: )"(array|object)": ', r"\1", error.message)


def named(resource: Resource, name: str, spec: dict[str, Any]) -> KubeObject:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def create(client: KubeClient, namespace: str, resource: Resource, name: str, spec: Any) -> KubeObject:
    return await client.create(resource, namespace, named(resource, name, spec))


async def test_an_image_is_all_a_sandbox_needs(client: KubeClient, namespace: str) -> None:
    made = await create(client, namespace, SANDBOXES, "minimal", REQUIRED)
    spec = made["spec"]
    assert (spec["className"], spec["resourceFactor"], spec["suspend"], spec["service"]) == (
        "default",
        1,
        False,
        "Headless",
    )


async def test_everything_at_once(client: KubeClient, namespace: str) -> None:
    spec = {
        **REQUIRED,
        "command": ["/usr/local/bin/openhands-agent-server", "--port", "60000"],
        "workingDir": "/",
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        ],
        "environmentHash": "0" * 64,
        "environmentRevision": "0" * 16,
        "className": "large",
        "resourceFactor": 8,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "runtimeClassName": "gvisor",
        "imagePullPolicy": "Always",
        "warmStart": "Never",
        "suspend": True,
        "suspendReason": "Idle",
        "idleTimeoutSeconds": 1200,
        "pendingTimeoutSeconds": 600,
        "maximumLifeSeconds": 86400,
        "restartedAt": "2026-01-31T12:00:00Z",
        "service": "None",
        "servicePorts": {"vscode": 60001, "work-1": 3000, "work-2": 0},
        "sessionID": "Session/1 ü " + "x" * 300,
        "owner": "team-a",
    }
    made = await create(client, namespace, SANDBOXES, "everything", spec)
    assert made["spec"] == spec


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("no-image", {}, "spec.image"),
        ("empty-image", {"image": ""}, "spec.image"),
        *((f"malformed-image-{number}", {"image": image}, "spec.image") for number, image in enumerate(MALFORMED)),
        ("command-text", {**REQUIRED, "command": "run me"}, "spec.command"),
        ("odd-factor", {**REQUIRED, "resourceFactor": 3}, "spec.resourceFactor"),
        ("root", {**REQUIRED, "runAsUser": 0}, "spec.runAsUser"),
        ("no-group", {**REQUIRED, "fsGroup": -1}, "spec.fsGroup"),
        ("bad-policy", {**REQUIRED, "imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy"),
        ("bad-service", {**REQUIRED, "service": "NodePort"}, "spec.service"),
        ("suspend-text", {**REQUIRED, "suspend": "yes"}, "spec.suspend"),
        ("odd-suspend-reason", {**REQUIRED, "suspendReason": "Bored"}, "spec.suspendReason"),
        ("negative-idle-timeout", {**REQUIRED, "idleTimeoutSeconds": -1}, "spec.idleTimeoutSeconds"),
        ("negative-patience", {**REQUIRED, "pendingTimeoutSeconds": -1}, "spec.pendingTimeoutSeconds"),
        ("endless-patience", {**REQUIRED, "pendingTimeoutSeconds": 604801}, "spec.pendingTimeoutSeconds"),
        ("restarted-at-noon", {**REQUIRED, "restartedAt": "noon"}, "must be a time such as"),
        (
            "two-values",
            {**REQUIRED, "env": [{"name": "A", "value": "", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "value or valueFrom, not both",
        ),
        ("nameless-env", {**REQUIRED, "env": [{"value": "1"}]}, "spec.env[0].name"),
        ("long-session", {**REQUIRED, "sessionID": "x" * 1025}, "spec.sessionID"),
        ("long-command", {**REQUIRED, "command": LARGE}, "spec.command: Invalid value: has more than 65536 characters"),
        ("large-env", {**REQUIRED, "env": LARGE_ENV}, "spec.env: Invalid value: has more than 131072 characters"),
        ("dots.in.name", REQUIRED, "metadata.name must be a DNS label"),
        ("0starts-with-a-digit", REQUIRED, "metadata.name must be a DNS label"),
        ("n" * 51, REQUIRED, "metadata.name must be a DNS label"),
        ("vscode-hello", REQUIRED, "metadata.name must not begin with vscode-, work-1-, work-2-"),
        ("work-1-hello", REQUIRED, "hosts so named are services of other sandboxes"),
        ("work-2-", REQUIRED, "metadata.name must"),
        ("no-such-port", {**REQUIRED, "servicePorts": {"work-1": 65536}}, "spec.servicePorts.work-1"),
        ("named-port", {**REQUIRED, "servicePorts": {"vscode": "http"}}, "spec.servicePorts.vscode"),
    ],
)
async def test_a_bad_sandbox_is_refused(
    client: KubeClient, namespace: str, name: str, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        await create(client, namespace, SANDBOXES, name, spec)
    assert refusal.value.code == 422
    assert words in plain(refusal.value)


async def test_what_is_as_large_as_it_may_be_is_taken(client: KubeClient, namespace: str) -> None:
    spec = {**REQUIRED, "command": LARGEST, "env": LARGEST_ENV}
    made = await create(client, namespace, SANDBOXES, "large", spec)
    assert (made["spec"]["command"], made["spec"]["env"]) == (LARGEST, LARGEST_ENV)
    environment = {entry["name"] + str(number): entry["value"][4:] for number, entry in enumerate(LARGEST_ENV)}
    pool = {**REQUIRED, "command": LARGEST, "environment": environment}
    made = await create(client, namespace, SANDBOX_POOLS, "large", pool)
    assert made["spec"]["environment"] == environment
    for field, value in (("command", LARGE), ("environment", {**environment, "A" * 100: ""})):
        with pytest.raises(ApiError, match=field) as refusal:
            await client.patch(SANDBOX_POOLS, namespace, "large", {"spec": {field: value}})
        assert re.search(rf"spec\.{field}: Invalid value: has more than [0-9]+ characters", plain(refusal.value))


# Earlier versions judge an unchanged list again with each write.
@pytest.mark.kubernetes(since="1.33")
async def test_a_sandbox_from_before_a_rule_goes_on(client: KubeClient, namespace: str) -> None:
    """Names of services, malformed images and commands of any size passed once: such Sandboxes outlive the upgrade."""
    [manifest] = [found for found in manifests() if found["spec"]["names"]["kind"] == "Sandbox"]
    group = f"{namespace}.example"
    manifest["metadata"]["name"] = f"sandboxes.{group}"
    manifest["spec"]["group"] = group
    manifest["spec"]["names"].pop("categories")
    manifest["spec"]["names"]["shortNames"] = [f"s{namespace}"]
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = schema.pop("x-kubernetes-validations")
    image, command = (schema["properties"]["spec"]["properties"][field] for field in ("image", "command"))
    pattern, command_rules = image.pop("pattern"), command.pop("x-kubernetes-validations")
    sandboxes = Resource(group, SANDBOXES.version, SANDBOXES.plural, SANDBOXES.kind)
    made = await client.create(CUSTOM_RESOURCES, "", manifest)

    async def refused(name: str, spec: dict[str, Any] = REQUIRED) -> bool:
        try:
            await create(client, namespace, sandboxes, name, spec)
        except ApiError as error:
            return error.code == 422
        await client.delete(sandboxes, namespace, name)
        return False

    try:
        await eventually(partial(client.list, sandboxes, namespace))
        await create(client, namespace, sandboxes, "work-1-old", REQUIRED)
        await create(client, namespace, sandboxes, "old-image", {"image": MALFORMED[0]})
        await create(client, namespace, sandboxes, "old-command", {**REQUIRED, "command": LARGE})
        schema["x-kubernetes-validations"] = rules
        image["pattern"], command["x-kubernetes-validations"] = pattern, command_rules
        await client.patch(CUSTOM_RESOURCES, "", made["metadata"]["name"], {"spec": manifest["spec"]})
        await eventually(partial(refused, "work-1-new"))
        for name in ("work-1-old", "old-image", "old-command"):
            reported = await client.patch(
                sandboxes, namespace, name, {"status": {"podIP": "10.0.0.1"}}, subresource="status"
            )
            assert reported["status"]["podIP"] == "10.0.0.1"
            paused = await client.patch(sandboxes, namespace, name, {"spec": {"suspend": True}})
            assert paused["spec"]["suspend"] is True
        assert await refused("vscode-new")
        assert await refused("new-image", {"image": MALFORMED[0]})
        assert await refused("new-command", {**REQUIRED, "command": LARGE})
        with pytest.raises(ApiError, match="image"):
            await client.patch(sandboxes, namespace, "old-image", {"spec": {"image": MALFORMED[1]}})
        mended = await client.patch(sandboxes, namespace, "old-image", {"spec": REQUIRED})
        assert mended["spec"]["image"] == REQUIRED["image"]
    finally:
        await client.delete(CUSTOM_RESOURCES, "", made["metadata"]["name"])


@pytest.mark.parametrize("field", ["sessionID", "owner"])
@pytest.mark.parametrize("before", ["", "given"])
async def test_identity_cannot_change(client: KubeClient, namespace: str, field: str, before: str) -> None:
    name = f"identity-{field.lower()}-{before or 'none'}"
    await create(client, namespace, SANDBOXES, name, {**REQUIRED, **({field: before} if before else {})})
    with pytest.raises(ApiError) as refusal:
        await client.patch(SANDBOXES, namespace, name, {"spec": {field: "other"}})
    assert refusal.value.code == 422
    assert f"spec.{field}" in refusal.value.message
    assert "immutable" in refusal.value.message


async def test_suspend_can_change(client: KubeClient, namespace: str) -> None:
    await create(client, namespace, SANDBOXES, "sleepy", REQUIRED)
    changed = await client.patch(SANDBOXES, namespace, "sleepy", {"spec": {"suspend": True}})
    assert changed["metadata"]["generation"] == 2


async def test_status_is_a_subresource(client: KubeClient, namespace: str) -> None:
    await create(client, namespace, SANDBOXES, "told", REQUIRED)
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = {"status": {"conditions": [condition], "podIP": "10.0.0.1"}}
    new = {"observedGeneration": 0}
    assert (await client.patch(SANDBOXES, namespace, "told", patch))["status"] == new
    told = await client.patch(SANDBOXES, namespace, "told", patch, subresource="status")
    assert told["status"] == new | patch["status"], "nothing else is stored that was not written"
    assert told["metadata"]["generation"] == 1


async def test_a_class_may_be_empty(client: KubeClient, namespace: str) -> None:
    made = await create(client, namespace, SANDBOX_CLASSES, "bare", {})
    assert made["spec"].get("startupTimeoutSeconds", 300) == 300


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"resources": {"requests": {"cpu": "lots"}}}, "spec.resources.requests.cpu"),
        (
            {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "2047Mi"}}},
            "spec.resources: Invalid value: a request is larger than the limit",
        ),
        (
            {"resources": {"requests": {"example.com/device": "1"}}},
            "spec.resources: Invalid value: an extended resource",
        ),
        (
            {"resources": {"limits": {"example.com/device": "500m"}}},
            "spec.resources: Invalid value: an extended resource",
        ),
        (
            {"resources": {"requests": {"example.com/device": "1"}, "limits": {"example.com/device": "2"}}},
            "spec.resources: Invalid value: an extended resource",
        ),
        ({"workspace": {"size": "-1Gi"}}, "spec.workspace.size"),
        ({"workspace": {"size": "0Gi"}}, "spec.workspace.size"),
        ({"egress": "a b"}, "spec.egress"),
        ({"egress": ""}, "spec.egress"),
        ({"pod": {"tmpSize": "0"}}, "spec.pod.tmpSize"),
        ({"pod": {"homeSize": "1m"}}, "spec.pod.homeSize"),
        ({"pod": {"shmSize": "0"}}, "spec.pod.shmSize"),
        (
            {"pod": {"shmSize": "2049Mi"}, "resources": {"limits": {"memory": "2Gi"}}},
            "spec: Invalid value: pod.shmSize is larger than resources.limits.memory",
        ),
        ({"pod": {"hostUsers": "no"}}, "spec.pod.hostUsers"),
        *(
            ({"pod": {"volumes": [{"name": "a", "mountPath": "/a", "emptyDir": {"sizeLimit": "1Gi"}} | volume]}}, words)
            for volume, words in (
                ({"secret": {"secretName": "s"}}, "a volume has just one of"),
                ({"hostPath": {"path": "/"}, "emptyDir": None}, "needs allowHostPath"),
                ({"name": "workspace"}, "these names are the operator's own"),
                ({"mountPath": "/workspace"}, "mountPath must be a plain path"),
                ({"mountPath": "/home"}, "mountPath must be a plain path"),
                ({"mountPath": "/"}, "mountPath must be a plain path"),
                ({"mountPath": "/a/../workspace"}, "mountPath must be a plain path"),
                ({"mountPath": "/usr"}, "mountPath must be a plain path"),
                ({"mountPath": "/root"}, "mountPath must be a plain path"),
                ({"mountPath": "/oh"}, "mountPath must be a plain path"),
                ({"mountPath": "/oh/data"}, "mountPath must not be below /etc/openhands-ca or /oh"),
                ({"mountPath": "/etc/openhands-ca/more"}, "mountPath must not be below /etc/openhands-ca or /oh"),
                ({"name": "agent-server"}, "these names are the operator's own"),
                ({"mountPath": "a"}, "mountPath"),
            )
        ),
        ({"pod": {"sidecars": [{"name": "agent-server", "image": "i"}]}}, "are the operator's own"),
        ({"pod": {"sidecars": [{"name": "agent-server-copy", "image": "i"}]}}, "are the operator's own"),
        *(
            ({"agentServer": {"image": image}}, "spec.agentServer.image")
            for image in ("", "a b", "Upper:1", "https://a/b", "a@sha256:12", "a" * 1025)
        ),
        ({"agentServer": {}}, "spec.agentServer.image: Required value"),
        ({"agentServer": {"image": "i", "delivery": "Link"}}, "spec.agentServer.delivery"),
        ({"agentServer": {"image": "i", "imagePullPolicy": "Sometimes"}}, "spec.agentServer.imagePullPolicy"),
        ({"agentServer": {"image": "i", "entrypoint": ["a"] * 65}}, "spec.agentServer.entrypoint"),
        ({"pod": {"sidecars": [{"name": "a", "image": "i"}] * 2}}, "Duplicate value"),
        ({"pod": {"sidecars": [{"name": "a", "image": "a b"}]}}, "spec.pod.sidecars[0].image"),
        ({"pod": {"caBundle": {"configMapName": "a", "key": "../a"}}}, "spec.pod.caBundle.key"),
        ({"workspace": {"persistent": "yes"}}, "spec.workspace.persistent"),
        ({"startupTimeoutSeconds": 0}, "spec.startupTimeoutSeconds"),
        ({"pendingTimeoutSeconds": -1}, "spec.pendingTimeoutSeconds"),
        ({"pendingTimeoutSeconds": 604801}, "spec.pendingTimeoutSeconds"),
        ({"runtimeClasses": {"a": 1}}, "spec.runtimeClasses.a"),
        ({"servicePorts": {"work-2": -1}}, "spec.servicePorts.work-2"),
        ({"pod": {"tolerations": ["any"]}}, "spec.pod.tolerations[0]"),
        ({"pod": {"labels": {"app.kubernetes.io/component": "gateway"}}}, "spec.pod.labels"),
        ({"env": LARGE_ENV}, "spec.env: Invalid value: has more than 131072 characters"),
    ],
)
async def test_a_bad_class_is_refused(client: KubeClient, namespace: str, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await create(client, namespace, SANDBOX_CLASSES, "bad", spec)
    assert refusal.value.code == 422
    assert words in plain(refusal.value)


async def test_shared_memory_up_to_the_limit_of_memory_is_taken(client: KubeClient, namespace: str) -> None:
    for name, limits in (("full", {"memory": "2048Mi"}), ("boundless", {"cpu": "1"})):
        spec = {"pod": {"shmSize": "2Gi"}, "resources": {"limits": limits}}
        made = await create(client, namespace, SANDBOX_CLASSES, name, spec)
        assert made["spec"]["pod"]["shmSize"] == "2Gi"


async def test_requests_up_to_their_limits_are_taken(client: KubeClient, namespace: str) -> None:
    resources = {
        "requests": {"cpu": "500m", "memory": "2Gi"},
        "limits": {"memory": "2048Mi", "ephemeral-storage": "1Gi", "example.com/device": "2"},
    }
    made = await create(client, namespace, SANDBOX_CLASSES, "fits", {"resources": resources})
    assert made["spec"]["resources"] == resources


async def test_tolerations_and_affinity_are_kept_as_they_are(client: KubeClient, namespace: str) -> None:
    pod: dict[str, Any] = {
        "tolerations": [{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    }
    made = await create(client, namespace, SANDBOX_CLASSES, "placed", {"pod": pod})
    assert made["spec"]["pod"] == pod | {key: value for key, value in made["spec"]["pod"].items() if key not in pod}
