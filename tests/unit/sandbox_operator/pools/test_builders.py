"""Warm pods are the pods that sandboxes would get."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.service_ports import named_in
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_crds.names import environment_secret_name
from sandbox_operator.builders.eviction import SAFE_TO_EVICT
from sandbox_operator.builders.owned import name_of
from sandbox_operator.builders.pod import build_pod
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.builders.volume import build_volume_claim
from sandbox_operator.pools.builders import (
    build_warm_pod,
    build_warm_secret,
    build_warm_volume_claim,
    new_name,
    template_of,
)
from sandbox_operator.pools.deferred import DORMANT
from sandbox_operator.pools.template import template
from sandbox_operator.watching.pods import WORKSPACE_VOLUME, controller_uid, decode
from unit.sandbox_operator.pools.golden import CASES, DIRECTORY, NAME, objects, text
from unit.sandbox_operator.pools.samples import POOL_UID, free, pool
from unit.sandbox_operator.samples import IMAGE, KEYS, UID, class_, sandbox


@pytest.mark.parametrize("name", CASES)
def test_objects_are_those_that_were_agreed_on(name: str) -> None:
    assert text(name) == (DIRECTORY / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", CASES)
def test_the_pod_belongs_to_the_pool_and_all_else_to_the_pod(name: str) -> None:
    pod, *others = objects(name)
    assert controller_uid(pod) == POOL_UID
    assert {controller_uid(other) for other in others} == {"uid-of-the-pod"}
    assert {each["metadata"]["name"] for each in (pod, *others)} == {NAME}
    assert len(others) == 1 + CASES[name][1].spec.workspace.persistent


@pytest.mark.parametrize("name", CASES)
def test_the_pod_holds_no_key_and_is_free(name: str) -> None:
    of_pool, of_class = CASES[name]
    body = build_warm_pod(of_pool, of_class, KEYS, NAME)
    key_id = KEYS.key_id(NAME)
    assert KEYS.session_key(key_id) not in str(body)
    assert KEYS.secret_key(key_id) not in str(body)
    pod = decode({**body, "metadata": {**body["metadata"], "uid": "u", "creationTimestamp": "2026-11-23T12:00:00Z"}})
    assert pod.is_free
    assert (pod.pool, pod.key_id, pod.deferred) == ("warm", key_id, of_pool.spec.deferred_init)
    assert pod.template == template_of(of_pool, of_class, KEYS)


TEXT = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=8)
VARIABLES = st.dictionaries(
    st.sampled_from(["A", "OH_SECRET_KEY", "OH_ENABLE_VSCODE", "WORKER_1"]), TEXT | st.just("3001"), max_size=3
)
SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"image": st.sampled_from([IMAGE, "other:2"])},
    optional={
        "command": st.sampled_from([[], ["agent"], ["agent", "--port", "8123"]]),
        "workingDir": st.sampled_from(["", "/workspace", "/tmp/x"]),
        "resourceFactor": st.sampled_from([1, 2, 8]),
        "runAsUser": st.integers(1, 3),
        "runAsGroup": st.integers(1, 3),
        "fsGroup": st.integers(1, 3),
        "runtimeClassName": st.sampled_from(["", "known", "unknown"]),
        "imagePullPolicy": st.sampled_from(["Always", "IfNotPresent"]),
    },
)
CLASSES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "env": st.sampled_from([[], [{"name": "A", "value": "of the class"}]]),
        "runtimeClasses": st.just({"known": "kata"}),
        "egress": st.sampled_from(["None", "model"]),
        "servicePorts": st.sampled_from([{"vscode": 0}, {"work-1": 3000}]),
        "idleTimeoutSeconds": st.sampled_from([60, 1200]),
        "workspace": st.sampled_from(
            [
                {"discardOnSuspension": True},
                {"persistent": True},
                {"persistent": True, "size": "20Gi"},
                {"persistent": True, "storageClassName": "fast"},
            ]
        ),
        "terminationGracePeriodSeconds": st.integers(0, 2),
        "pod": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.just({"team": "blue"}),
                "annotations": st.just({"note": "of the class"}),
                "readOnlyRootFilesystem": st.booleans(),
                "nodeSelector": st.just({"pool": "sandboxes"}),
            },
        ),
    },
)


def cold(spec: dict[str, Any], environment: dict[str, str], of_class: SandboxClass) -> tuple[Sandbox, dict[str, Any]]:
    """A sandbox as the gateway makes it, and its pod."""
    ports = named_in(environment)
    made = sandbox(**spec, servicePorts=ports, environmentHash=KEYS.environment_hash(environment))
    return made, build_pod(made, of_class)


def renamed(pod: dict[str, Any], made: Sandbox) -> dict[str, Any]:
    """A cold pod's spec as if its Secret were the warm pod's, which holds the client's environment too."""
    spec = copy.deepcopy(pod["spec"])
    [container] = spec["containers"]
    of_client = environment_secret_name(made.metadata.name, made.metadata.uid)
    container["envFrom"] = [entry for entry in container["envFrom"] if entry["secretRef"]["name"] != of_client]
    for entry in [*container["envFrom"], *(each["valueFrom"] for each in container["env"] if "valueFrom" in each)]:
        reference = entry.get("secretRef") or entry.get("secretKeyRef")
        if reference and reference["name"] == name_of(made):
            reference["name"] = NAME
    for volume in spec["volumes"]:
        if volume["name"] == WORKSPACE_VOLUME and "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["claimName"] = NAME
    return spec


@given(spec=SPECS, of_class=CLASSES, environment=VARIABLES)
def test_a_warm_pod_is_the_cold_pod_but_for_names(
    spec: dict[str, Any], of_class: dict[str, Any], environment: dict[str, str]
) -> None:
    usable = {name: value for name, value in environment.items() if name != "OH_SECRET_KEY"}
    klass, warm = class_(**of_class), pool(**spec, environment=environment)
    made, pod = cold(spec, usable, klass)
    body = build_warm_pod(warm, klass, KEYS, NAME)
    assert body["spec"] == renamed(pod, made)
    # The same labels and annotations of the class, beside our own.
    own = {"sandbox.openhands.dev/sandbox", "sandbox.openhands.dev/pool"}
    assert {k: v for k, v in body["metadata"]["labels"].items() if k not in own} == {
        k: v for k, v in pod["metadata"]["labels"].items() if k not in own
    }
    annotations = dict(pod["metadata"]["annotations"])
    if SAFE_TO_EVICT not in klass.spec.pod.annotations:
        assert (annotations.pop(SAFE_TO_EVICT), body["metadata"]["annotations"][SAFE_TO_EVICT]) == ("false", "true")
    assert annotations.items() <= body["metadata"]["annotations"].items()
    assert template_of(warm, klass, KEYS) == template(made.spec, klass)
    # And what its Secret brings is what the cold pod would get of both its Secrets.
    stored = {**body["metadata"], "uid": "u", "creationTimestamp": "2026-11-23T12:00:00Z"}
    of_pool = decode({**body, "metadata": stored})
    brought = build_warm_secret(warm, klass, KEYS, of_pool)["stringData"]
    expected = {**build_secret(made, klass, KEYS, KEYS.key_id(NAME))["stringData"], **usable}
    assert brought == expected
    # So does its volume.
    assert build_warm_volume_claim(warm, klass, of_pool)["spec"] == build_volume_claim(made, klass)["spec"]


@given(one=st.tuples(SPECS, CLASSES, VARIABLES), other=st.tuples(SPECS, CLASSES, VARIABLES), deferred=st.booleans())
def test_templates_are_equal_only_for_equal_pods(
    one: tuple[dict[str, Any], dict[str, Any], dict[str, str]],
    other: tuple[dict[str, Any], dict[str, Any], dict[str, str]],
    deferred: bool,
) -> None:
    def built(spec: dict[str, Any], klass: dict[str, Any], environment: dict[str, str]) -> tuple[str, Any, Any, Any]:
        of_pool: SandboxPool = pool(**spec, environment=environment, deferredInit=deferred)
        of_class = class_(**klass)
        body = build_warm_pod(of_pool, of_class, KEYS, NAME)
        stored = {**body["metadata"], "uid": "u", "creationTimestamp": "2026-11-23T12:00:00Z"}
        made = decode({**body, "metadata": stored})
        secret = build_warm_secret(of_pool, of_class, KEYS, made)
        volume = made.volume_claim and build_warm_volume_claim(of_pool, of_class, made)
        del body["metadata"]["annotations"]["sandbox.openhands.dev/template"]
        return template_of(of_pool, of_class, KEYS), body, secret["stringData"], volume

    first, second = built(*one), built(*other)
    if first[0] == second[0]:
        assert first[1:] == second[1:]


def test_a_dormant_pod_says_so_and_is_for_those_who_know() -> None:
    plain, deferred = pool(), pool(deferredInit=True)
    body = build_warm_pod(deferred, class_(), KEYS, NAME)
    assert DORMANT in body["spec"]["containers"][0]["env"]
    assert DORMANT not in build_warm_pod(plain, class_(), KEYS, NAME)["spec"]["containers"][0]["env"]
    assert template_of(plain, class_(), KEYS) != template_of(deferred, class_(), KEYS)


def test_templates_differ_with_each_property_of_the_volume() -> None:
    workspaces: list[dict[str, Any]] = [
        {},
        {"persistent": True},
        {"persistent": True, "size": "20Gi"},
        {"persistent": True, "storageClassName": "fast"},
    ]
    assert len({template_of(pool(), class_(workspace=workspace), KEYS) for workspace in workspaces}) == 4


def test_names_are_labels_that_are_used_once() -> None:
    longest = pool().model_copy(update={"metadata": pool().metadata.model_copy(update={"name": "p" * 50})})
    names = {new_name(longest) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(r"p{50}-[a-z2-7]{10}", name)
        assert len(name) <= 63


def test_a_secret_for_a_lost_master_key_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        build_warm_secret(pool(), class_(), KEYS, free("a", key_id="v9-" + "a" * 26))


def test_the_owner_of_a_cold_pod_is_another() -> None:
    assert controller_uid(build_pod(sandbox(), class_())) == UID != POOL_UID
