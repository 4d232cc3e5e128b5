"""The template hash, which decides whether a warm pod equals the pod that a sandbox would get."""

import hashlib
from pathlib import PurePosixPath

import orjson

from sandbox_common import service_ports
from sandbox_common.environment import is_reserved
from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool, SandboxSpec
from sandbox_crds.models.service_ports import ServicePorts
from sandbox_operator.builders import environment
from sandbox_operator.builders.pod import pod_labels, pod_spec
from sandbox_operator.builders.volume import volume_spec


def template(spec: SandboxSpec, class_: SandboxClass, *, deferred: bool = False) -> str:
    """A hash of 32 hex digits. It is equal for two sandboxes if their pods are equal, except for names and keys.

    This includes the properties of their volumes, if they have any.
    `deferred`: the pod's agent server boots dormant, so the template differs.
    """
    update = {"environment_hash": "", "restarted_at": "", "working_dir": working_dir(spec.working_dir)}
    plain = spec.model_copy(update=update)
    parts = [
        pod_spec(Sandbox(spec=plain), class_, "", ""),
        pod_labels(class_),
        dict(class_.spec.pod.annotations),
        environment.defaults(class_),
        spec.environment_hash,
        deferred,
        *([volume_spec(class_)] if class_.spec.workspace.persistent else []),
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def working_dir(path: str) -> str:
    """The same directory in its shortest spelling; "" is the image's own.

    Pods with different directories are never interchangeable: commands without their own directory run in it, and the
    default workspace is relative to it (openhands_agent_server 1.58.2, bash_service.py, config.py).
    """
    return str(PurePosixPath("/", path.lstrip("/"))) if path.startswith("/") else path


def sandbox_spec(pool: SandboxPool, keys: MasterKeys) -> SandboxSpec:
    """The spec of a sandbox that fits the pool's pods."""
    spec, environment_ = pool.spec, usable_environment(pool)
    return SandboxSpec(
        image=spec.image,
        command=spec.command,
        working_dir=spec.working_dir,
        environment_hash=keys.environment_hash(environment_),
        service_ports=ServicePorts.model_validate(service_ports.named_in(environment_)),
        class_name=spec.class_name,
        resource_factor=spec.resource_factor,
        run_as_user=spec.run_as_user,
        run_as_group=spec.run_as_group,
        fs_group=spec.fs_group,
        runtime_class_name=spec.runtime_class_name,
        image_pull_policy=spec.image_pull_policy,
    )


def usable_environment(pool: SandboxPool) -> dict[str, str]:
    """The pool's environment without reserved variables, which the gateway removes from clients' environments, too."""
    return {name: value for name, value in pool.spec.environment.items() if not is_reserved(name)}
