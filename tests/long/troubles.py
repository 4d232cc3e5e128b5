"""Troubles with which sandboxes start on a real node: those that pass, all mended at once, and those that do not."""

import json
import secrets
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cluster.injections import OWNER, class_body, quota, sandbox_body, volume
from cluster.site import Site
from cluster.storage import local_volume, storage_class
from cluster.support import NAMESPACE, eventually
from local_cluster.node import NODE_NAME
from local_cluster.paths import State
from long import registry
from sandbox_common.reasons import Reason
from sandbox_crds.api import API_KEY_LABEL

_LATE = f"{NAMESPACE}-late"
"""Name of what is missing at first, or is there only at first."""
_NO_VOLUME, _NO_DIRECTORY = f"{NAMESPACE}-no-volume", f"{NAMESPACE}-no-directory"
"""Names of StorageClasses, and of the only volume of each."""
_NODE_LABEL = f"example.com/{_LATE}"
_RESOURCES = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}
_ASKED_BY_SDK = "sysbox-runc"
KEY, LIMITED_KEY = secrets.token_hex(24), secrets.token_hex(24)
"""API keys with which each of the classes here may be asked for: of the same owner, and of one with a limit of one."""
_LIMITED = f"{NAMESPACE}-limited"


@dataclass(frozen=True)
class Start:
    """A start of the SDK that meets a trouble. `words` are said of it; all of them, if not all at once.

    `class_` is what its SandboxClass is changed by, None if there is none. `image` is a repository of the registry, or
    a reference; "" for the agent server's own image. `key` is the API key that asks for it.
    """

    words: tuple[str, ...]
    class_: Mapping[str, Any] | None
    image: str = ""
    key: str = KEY


NOWHERE = f"{NAMESPACE}-nowhere"
"""The class of a start whose class does not exist."""
_MODE = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": _LATE, "key": "mode"}}}

PASSING = {
    "registry": Start(
        (Reason.IMAGE_PULL_BACK_OFF, "503 Service Unavailable", "connection reset", "429 Too Many Requests"),
        {},
        registry.LATE,
    ),
    "config-map": Start((Reason.CREATE_CONTAINER_ERROR, f'configmap "{_LATE}" not found'), {"env": [_MODE]}),
    "directory": Start((Reason.CREATE_CONTAINER_ERROR, "FailedMount", "does not exist"), volume(_NO_DIRECTORY)),
    "volume": Start((Reason.VOLUME_NOT_BOUND,), volume(_NO_VOLUME)),
    "node": Start((Reason.UNSCHEDULABLE, "node affinity/selector"), {"pod": {"nodeSelector": {_NODE_LABEL: "true"}}}),
    "quota": Start((Reason.QUOTA_EXCEEDED, "exceeded quota"), {"pod": {"priorityClassName": _LATE}}),
    "queue": Start((Reason.QUEUED, "running=1"), {}, key=LIMITED_KEY),
}
NETWORK = "network"
PLUGIN = Start((Reason.CREATE_CONTAINER_ERROR, "FailedCreatePodSandBox", "failed to find plugin"), {})
"""What a pod meets that is made while the node has no network."""

FINAL = {
    "image-missing": Start((Reason.IMAGE_NOT_FOUND, "not found"), {}, registry.MISSING),
    "image-denied": Start((Reason.IMAGE_PULL_DENIED, "no basic auth credentials"), {}, registry.DENIED),
    "image-forbidden": Start((Reason.IMAGE_PULL_DENIED, "denied"), {}, registry.FORBIDDEN),
    "image-malformed": Start(("422",), {}, "No/Such//Name"),
    "class-missing": Start((Reason.SANDBOX_CLASS_NOT_FOUND,), None),
    "runtime-handler-missing": Start(
        (Reason.RUNTIME_HANDLER_NOT_FOUND, _LATE), {"runtimeClasses": {_ASKED_BY_SDK: _LATE}}
    ),
}

STARTS = {**PASSING, NETWORK: PLUGIN}
"""Those that end well."""
ALL = {**STARTS, **FINAL}


@contextmanager
def troubled(site: Site, state: State) -> Generator[Callable[[], None]]:
    """Meanwhile there are the classes, and all troubles but the network's; calling what is given mends what passes."""
    directory = state.volumes / _LATE
    items = [*_classes(), *_surroundings(directory)]
    remedies = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _LATE}, "data": {"mode": "late"}},
        local_volume(_NO_VOLUME, _NO_VOLUME, directory / _NO_VOLUME),
    ]

    def mend() -> None:
        for name in (_NO_DIRECTORY, _NO_VOLUME):
            (directory / name).mkdir(parents=True)
        site.kubectl("apply", "--filename", "-", body=_list(remedies))
        site.kubectl("label", "node", NODE_NAME, f"{_NODE_LABEL}=true")
        site.kubectl("delete", "resourcequota", _LATE)
        site.kubectl("delete", "ohsb", _LIMITED)

    site.kubectl("apply", "--filename", "-", body=_list(items))
    try:
        eventually(
            lambda: site.kubectl("get", "resourcequota", _LATE, "--output", "json")["status"],
            lambda status: "used" in status,
        )
        yield mend
    finally:
        site.kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", "-", body=_list(items + remedies))
        site.kubectl("label", "node", NODE_NAME, f"{_NODE_LABEL}-")
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def without_network(state: State) -> Generator[None]:
    """Meanwhile the node's network needs a plugin that is not there, so that no pod gets any."""
    [file] = (state.config / "cni").iterdir()
    text = file.read_text()
    config = json.loads(text)
    try:
        file.write_text(json.dumps({**config, "plugins": [{"type": _LATE}, *config["plugins"]]}))
        yield
    finally:
        file.write_text(text)


def _classes() -> list[dict[str, Any]]:
    # Nothing here is reported as failed because it lasts too long.
    common = {"resources": _RESOURCES, "pendingTimeoutSeconds": 0}
    return [class_body(case, {**common, **start.class_}) for case, start in ALL.items() if start.class_ is not None]


def _surroundings(directory: Path) -> list[dict[str, Any]]:
    return [
        *(storage_class(name, "kubernetes.io/no-provisioner") for name in (_NO_VOLUME, _NO_DIRECTORY)),
        local_volume(_NO_DIRECTORY, _NO_DIRECTORY, directory / _NO_DIRECTORY),
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": _LATE}, "value": 0},
        quota(_LATE, {"pods": "0"}),
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": _LATE}, "handler": _LATE},
        _api_key(_LATE, KEY, OWNER, {}),
        _api_key(_LIMITED, LIMITED_KEY, _LIMITED, {"limits": {"running": 1}}),
        # It takes the one place of its owner, although it cannot start.
        _named(
            _LIMITED, sandbox_body(_LIMITED, {"className": "node", "owner": _LIMITED, "image": "localhost/not-there:1"})
        ),
    ]


def _api_key(name: str, key: str, owner: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    """The Secret of an API key."""
    classes = ["default", *ALL, NOWHERE]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {API_KEY_LABEL: "true"}},
        "stringData": {
            "sha256": sha256(key.encode()).hexdigest(),
            "owner": owner,
            "policy": json.dumps({"classes": classes, **policy}),
        },
    }


def _named(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "metadata": {"name": name}}


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}
