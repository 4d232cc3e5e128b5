"""Objects of a few sandboxes, kept as YAML for people to read and tests to compare.

After a wanted change write them anew: `python -m unit.sandbox_operator.golden`.
"""

from pathlib import Path
from typing import Any

import yaml

from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import World
from unit.sandbox_operator.cases import NO_POOL
from unit.sandbox_operator.samples import KEY_ID, KEYS, NOW, class_, sandbox

DIRECTORY = Path(__file__).parent / "golden"

CASES: dict[str, tuple[Sandbox, SandboxClass]] = {
    "plain": (sandbox(), class_()),
    "from_the_sdk": (
        sandbox(
            command=["/usr/local/bin/openhands-agent-server", "--port", "8123"],
            workingDir="/workspace",
            environmentHash="0" * 64,
            resourceFactor=2,
            runAsUser=1000,
            runAsGroup=1001,
            fsGroup=1002,
            runtimeClassName="sysbox-runc",
            imagePullPolicy="Always",
        ),
        class_(
            resources={"requests": {"cpu": "500m", "memory": "3072Mi"}, "limits": {"memory": "3072Mi"}},
            runtimeClasses={"sysbox-runc": ""},
        ),
    ),
    "any_image": (
        sandbox(
            image="docker.io/library/python:3.12-slim",
            command=["/usr/local/bin/openhands-agent-server", "--port", "60000"],
            workingDir="/",
        ),
        class_(agentServer={"image": "registry.example/mounted:1", "imagePullPolicy": "Always"}),
    ),
    "any_image_copied": (
        sandbox(command=["/agent-server/.venv/bin/python", "-m", "openhands.agent_server", "--port", "8123"]),
        class_(
            agentServer={
                "image": "registry.example/mounted:1",
                "delivery": "Copy",
                "entrypoint": ["/entrypoint.sh", "$(NAME)"],
            },
            resources={"limits": {"memory": "3Gi"}},
            pod={"omitIds": True, "sidecars": [{"name": "proxy", "image": "registry.example/proxy:1"}]},
        ),
    ),
    "everything": (
        sandbox(
            workingDir="/workspace/./my project/$(HOME)",
            service="Headless",
            runtimeClassName="strong",
            restartedAt="2026-11-23T11:00:00Z",
            env=[
                {"name": "PLAIN", "value": "of the sandbox"},
                {"name": "FROM_CLASS_TOO", "value": "of the sandbox"},
                {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "entry"}}},
                {"name": "OH_SECRET_KEY", "value": "ignored"},
                {"name": "OH_SESSION_API_KEYS_1", "value": "ignored"},
            ],
        ),
        class_(
            workspace={"persistent": True, "size": "20Gi", "storageClassName": "fast"},
            env=[
                {"name": "OH_ENABLE_VSCODE", "value": "0"},
                {"name": "OH_BASH_EVENTS_DIR", "value": "/elsewhere"},
                {"name": "OH_DEFERRED_INIT", "value": "ignored"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shared", "key": "token", "optional": True}}},
                {"name": "FROM_CLASS_TOO", "valueFrom": {"secretKeyRef": {"name": "shared", "key": "other"}}},
                {"name": "SESSION_API_KEY", "valueFrom": {"secretKeyRef": {"name": "shared", "key": "ignored"}}},
            ],
            runtimeClasses={"strong": "kata"},
            pod={
                "labels": {"team": "blue", "sandbox.openhands.dev/sandbox": "ignored"},
                "annotations": {"note": "of the class"},
                "nodeSelector": {"pool": "sandboxes"},
                "tolerations": [{"key": "sandboxes", "operator": "Exists"}],
                "affinity": {"podAntiAffinity": {}},
                "priorityClassName": "low",
                "imagePullSecrets": ["registry"],
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": True,
                "hostUsers": False,
                "tmpSize": "512Mi",
                "topologySpreadConstraints": [
                    {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
                ],
                "caBundle": {"configMapName": "company-ca"},
                "volumes": [
                    {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"claimName": "datasets"}},
                    {"name": "cache", "mountPath": "/cache", "readOnly": False, "emptyDir": {"sizeLimit": "1Gi"}},
                ],
                "sidecars": [
                    {
                        "name": "proxy",
                        "image": "registry.example/proxy:1",
                        "args": ["--listen", "127.0.0.1:3128"],
                        "limits": {"memory": "64Mi"},
                        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
                    }
                ],
                "homeSize": "3Gi",
                "shmSize": "1Gi",
            },
            egress="model",
            servicePorts={"work-2": 0},
            idleTimeoutSeconds=1200,
            startupTimeoutSeconds=60,
            terminationGracePeriodSeconds=5,
        ),
    ),
}


def objects(name: str) -> list[dict[str, Any]]:
    """All that is created for a case, with the derived keys left out."""
    sandbox_, of_class = CASES[name]
    bodies = [create.body for create in plan(World(sandbox_, of_class, None, NOW, miss=NO_POOL), KEYS).creates]
    for body in bodies:
        for entry, value in body.get("stringData", {}).items():
            if value in (KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID)):
                body["stringData"][entry] = "(derived)"
    return bodies


class Plain(yaml.SafeDumper):
    """Without aliases, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(_: Plain, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)


Plain.add_representer(str, _text)


def text(name: str) -> str:
    """The case's YAML documents."""
    return yaml.dump_all(objects(name), Dumper=Plain, sort_keys=False, width=120)


def main() -> None:
    for name in CASES:
        (DIRECTORY / f"{name}.yaml").write_text(text(name))


if __name__ == "__main__":
    main()
