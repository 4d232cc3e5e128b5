"""What the demo runs besides the release: the scripted language model, and the SDK example as a Job."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.release import MODEL_LABELS, NAME, Release
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT

MODEL = ROOT / "examples" / "scripted_model.py"
EXAMPLE = ROOT / "examples" / "facts_about_project.py"
MODEL_NAME = "scripted-model"
MODEL_PORT = 8080
SDK_PYTHON = "/opt/agent-server/bin/python"
"""Python of the agent-server image, which has the SDK's client packages too."""

_POD_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def model_url(namespace: str, name: str = MODEL_NAME) -> str:
    """Base URL of the scripted model, as sandboxes reach it."""
    return f"http://{name}.{namespace}.svc.cluster.local:{MODEL_PORT}/v1"


def scripted_model(namespace: str) -> dict[str, str]:
    """The LLM_… variables that make the example use it."""
    return {"LLM_API_KEY": "scripted", "LLM_MODEL": "openai/scripted", "LLM_BASE_URL": model_url(namespace)}


def _config_map(name: str, file: Path) -> dict[str, Any]:
    data = {file.name: file.read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _container(image: str, command: list[str], config_map: str) -> dict[str, Any]:
    """A pod spec with one container that runs a program from a ConfigMap mounted at /example."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _POD_SECURITY,
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "securityContext": _CONTAINER_SECURITY,
                "volumeMounts": [
                    {"name": "program", "mountPath": "/example"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
        "volumes": [
            {"name": "program", "configMap": {"name": config_map}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }


def deploy_model(release: Release, name: str = MODEL_NAME, *, think: float = 0) -> None:
    """Deploy the scripted model and wait until it answers. `think`: seconds before each answer. Raises ClusterError."""
    listen = ["--host", "0.0.0.0", "--port", str(MODEL_PORT)]  # noqa: S104
    program = ["python3", f"/example/{MODEL.name}", *listen, "--think", str(think)]
    labels = {**MODEL_LABELS, "app.kubernetes.io/instance": name}
    pod = _container(release.images.controller, program, name)
    pod["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": MODEL_PORT}, "periodSeconds": 1}
    items: list[dict[str, Any]] = [
        _config_map(name, MODEL),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": MODEL_PORT}]},
        },
    ]
    release.kubectl("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    release.kubectl("rollout", "status", f"deployment/{name}", "--timeout", "120s")


def start_client_job(release: Release, name: str, url: str, model: Mapping[str, str]) -> None:
    """Start the SDK example as a Job. `model` are its LLM_… variables; keys come from Secrets. Raises ClusterError."""
    release.kubectl("delete", "job", name, "--ignore-not-found", "--wait")
    pod = _container(release.images.agent_server, [SDK_PYTHON, f"/example/{EXAMPLE.name}", "--json"], name)
    plain = {
        "RUNTIME_API_URL": url,
        "AGENT_SERVER_IMAGE": release.images.agent_server,
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
        **{key: value for key, value in model.items() if key != "LLM_API_KEY"},
    }
    secrets = {"RUNTIME_API_KEY": (f"{NAME}-api-key", "api-key"), "LLM_API_KEY": (name, "LLM_API_KEY")}
    pod["containers"][0]["env"] = [
        *({"name": key, "value": value} for key, value in plain.items()),
        *(
            {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": entry}}}
            for key, (secret, entry) in secrets.items()
        ),
    ]
    pod["restartPolicy"] = "Never"
    items: list[dict[str, Any]] = [
        _config_map(name, EXAMPLE),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {"LLM_API_KEY": model["LLM_API_KEY"]},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"job": name}}, "spec": pod}},
        },
    ]
    release.kubectl("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    _wait_for_logs(release, name)


def _wait_for_logs(release: Release, name: str) -> None:
    for _ in range(240):
        pods = json.loads(release.kubectl("get", "pods", "--selector", f"job={name}", "--output", "json"))["items"]
        if any(pod["status"].get("phase") not in {None, "Pending"} for pod in pods):
            return
        time.sleep(0.5)
    raise ClusterError(f"the pod of job {name} does not start", remedy=f"kubectl describe pods --selector job={name}")


def job_succeeded(release: Release, name: str) -> bool:
    """Whether the Job succeeded. Waits for its status, which follows the end of its pod. Raises ClusterError."""
    for _ in range(60):
        status = json.loads(release.kubectl("get", "job", name, "--output", "json"))["status"]
        for condition in status.get("conditions", []):
            if condition["status"] == "True" and condition["type"] in {"Complete", "Failed"}:
                return condition["type"] == "Complete"
        time.sleep(0.5)
    raise ClusterError(f"job {name} has no verdict", remedy=f"kubectl describe job {name}")
