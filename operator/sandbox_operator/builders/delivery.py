"""The agent server in pods of images that have none: from an image of its own, mounted beside the sandbox's.

That image brings what it takes to run its programs in any root (agent_server_image/any).
"""

from collections.abc import Sequence
from typing import Any

import orjson

from sandbox_common.command import options
from sandbox_crds.models import SandboxClass
from sandbox_crds.models.agent_server import AgentServer
from sandbox_operator.builders.confinement import confinement
from sandbox_operator.builders.environment import WORKSPACE
from sandbox_operator.builders.launch import STATE, below_workspace
from sandbox_operator.watching.pods import COPIER, DELIVERY_VOLUME

MOUNT = "/oh"
"""Fixed in the image: its programs have paths below it."""
_LAUNCHER = (f"{MOUNT}/any/bin/python", "-I", f"{MOUNT}/any/launch.py")

_COPIED = (
    *("/any", "/opt", "/usr/lib", "/lib", "/usr/share/git-core", "/usr/share/terminfo", "/usr/share/zoneinfo"),
    "/etc/ssl/certs/ca-certificates.crt",
)
_COPY_SIZE = "2Gi"


def launched(agent_server: AgentServer, command: Sequence[str], working_dir: str) -> list[str]:
    """The container's command for this command of an agent server, as `launch.launched` for images that have one."""
    ignored = {variable: (f"{WORKSPACE}/{name}", patterns) for variable, (name, patterns) in STATE.items()}
    settings = orjson.dumps({"directory": below_workspace(working_dir), "ignored": ignored}).decode()
    # Kubernetes expands $(NAME) in commands, and takes $$ for $.
    own = [word.replace("$", "$$") for word in (*agent_server.entrypoint, *_LAUNCHER, settings)]
    return [*own, *(options(command) or ())]


def volumes(class_: SandboxClass) -> list[dict[str, Any]]:
    """As in a pod's `volumes`."""
    agent_server = class_.spec.agent_server
    if agent_server is None:
        return []
    source: dict[str, Any] = (
        {"emptyDir": {"sizeLimit": _COPY_SIZE}}
        if agent_server.delivery == "Copy"
        else {"image": {"reference": agent_server.image, "pullPolicy": agent_server.image_pull_policy}}
    )
    return [{"name": DELIVERY_VOLUME, **source}]


def mounts(class_: SandboxClass) -> list[dict[str, Any]]:
    """As in the container's `volumeMounts`."""
    return [{"name": DELIVERY_VOLUME, "mountPath": MOUNT, "readOnly": True}] if class_.spec.agent_server else []


def copiers(class_: SandboxClass) -> list[dict[str, Any]]:
    """The init container that copies what is mounted otherwise."""
    agent_server = class_.spec.agent_server
    if agent_server is None or agent_server.delivery != "Copy":
        return []
    container: dict[str, Any] = {
        "name": COPIER,
        "image": agent_server.image,
        "imagePullPolicy": agent_server.image_pull_policy,
        "command": ["/usr/bin/cp", "--archive", "--parents", *_COPIED, MOUNT],
        "volumeMounts": [{"name": DELIVERY_VOLUME, "mountPath": MOUNT}],
        **confinement(class_),
    }
    if resources := {kind: dict(amounts) for kind, amounts in class_.spec.resources if amounts}:
        container["resources"] = resources
    return [container]
