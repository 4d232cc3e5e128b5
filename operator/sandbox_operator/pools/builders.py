"""A warm pod, the Secret with its keys and the claim of its volume."""

import base64
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sandbox_common.environment import SECRET_KEY, SESSION_KEY
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject, Resource
from sandbox_common.kube.resources import PODS, SECRETS, VOLUME_CLAIMS
from sandbox_crds.api import API_VERSION, MANAGED_BY_LABEL, MANAGER, POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.builders.environment import defaults
from sandbox_operator.builders.eviction import eviction_annotation
from sandbox_operator.builders.pod import pod_labels, pod_spec
from sandbox_operator.builders.volume import volume_spec
from sandbox_operator.pools.claim_patch import pod_reference
from sandbox_operator.pools.deferred import DORMANT
from sandbox_operator.pools.template import sandbox_spec, template, usable_environment
from sandbox_operator.watching.pods import DEFERRED_ANNOTATION, KEY_ID_ANNOTATION, TEMPLATE_ANNOTATION, Pod

_RANDOM_CHARACTERS = 10


def new_name(pool: SandboxPool) -> str:
    """A new random name for a pod of the pool, its Secret and its volume claim: a DNS label."""
    random = base64.b32encode(secrets.token_bytes(7)).decode().lower()[:_RANDOM_CHARACTERS]
    return f"{pool.metadata.name}-{random}"


def template_of(pool: SandboxPool, class_: SandboxClass, keys: MasterKeys) -> str:
    """The template of new pods of the pool."""
    return template(sandbox_spec(pool, keys), class_, deferred=pool.spec.deferred_init)


def build_warm_pod(pool: SandboxPool, class_: SandboxClass, keys: MasterKeys, name: str) -> KubeObject:
    """The pod that a fitting sandbox would get, before a sandbox claims it. Its key is derived from its own name.

    The pool's environment is in the same Secret as the keys, since both are made together.
    """
    spec = sandbox_spec(pool, keys).model_copy(update={"environment_hash": ""})
    overlay = class_.spec.pod
    annotations = {
        **overlay.annotations,
        **eviction_annotation(class_, free=True),
        TEMPLATE_ANNOTATION: template_of(pool, class_, keys),
        KEY_ID_ANNOTATION: keys.key_id(name),
    }
    body = pod_spec(Sandbox(spec=spec), class_, name, name)
    if pool.spec.deferred_init:
        annotations[DEFERRED_ANNOTATION] = "true"
        body["containers"][0]["env"].append(DORMANT)
    owner = {
        "apiVersion": API_VERSION,
        "kind": "SandboxPool",
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "controller": True,
    }
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "metadata": {
            "name": name,
            "namespace": pool.metadata.namespace,
            "labels": {**pod_labels(class_), SANDBOX_LABEL: "", **_labels(pool)},
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": body,
    }


def build_warm_secret(pool: SandboxPool, class_: SandboxClass, keys: MasterKeys, pod: Pod) -> KubeObject:
    """The pod's keys and environment; deleted with the pod. Raises KeyError if the master key is gone."""
    return _owned(SECRETS, pool, pod, {"annotations": {KEY_ID_ANNOTATION: pod.key_id}}) | {
        # Kubelets do not watch an immutable Secret.
        "immutable": True,
        "stringData": {
            **defaults(class_),
            **usable_environment(pool),
            SESSION_KEY: keys.session_key(pod.key_id),
            SECRET_KEY: keys.secret_key(pod.key_id),
        },
    }


def build_warm_volume_claim(pool: SandboxPool, class_: SandboxClass, pod: Pod) -> KubeObject:
    """The claim of the pod's volume; deleted with the pod, unless a sandbox takes it over."""
    return _owned(VOLUME_CLAIMS, pool, pod) | {"spec": volume_spec(class_)}


def _owned(
    resource: Resource, pool: SandboxPool, pod: Pod, metadata: Mapping[str, Any] = MappingProxyType({})
) -> KubeObject:
    """`apiVersion`, `kind` and `metadata` of an object that has the pod's name and is deleted with the pod."""
    metadata = {
        "name": pod.name,
        "namespace": pool.metadata.namespace,
        "labels": _labels(pool),
        **metadata,
        "ownerReferences": [pod_reference(pod)],
    }
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _labels(pool: SandboxPool) -> dict[str, str]:
    return {POOL_LABEL: pool.metadata.name, MANAGED_BY_LABEL: MANAGER}
