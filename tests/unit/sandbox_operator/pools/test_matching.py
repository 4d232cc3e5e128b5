"""Which sandboxes fit a pool, and why others do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.command import DEFAULT_COMMAND
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.pools.matching import Miss, MissReason, miss, obstacle
from sandbox_operator.pools.template import sandbox_spec, template, working_dir
from unit.sandbox_operator.samples import IMAGE, KEYS, class_, sandbox

CLASS = class_(
    resources={"requests": {"cpu": "1"}},
    runtimeClasses={"gvisor": "runsc", "sysbox-runc": ""},
    idleTimeoutSeconds=600,
    workspace={"discardOnSuspension": True},
)
ENVIRONMENT = {"A": "b"}
HASH = KEYS.environment_hash(ENVIRONMENT)


def pool(name: str = "pool", **spec: Any) -> SandboxPool:
    return SandboxPool.model_validate({"metadata": {"name": name}, "spec": {"image": IMAGE, **spec}})


def why(sandbox: Sandbox, *pools: SandboxPool, class_: SandboxClass = CLASS) -> Miss:
    return miss(sandbox, class_, pools, KEYS)


FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing but the image": ({}, {}),
    "working directory spelled otherwise": ({"workingDir": "/workspace/"}, {"workingDir": "//workspace/."}),
    "runtime class that is dropped": ({"runtimeClassName": "unknown"}, {}),
    "runtime class that is mapped to the cluster's": ({"runtimeClassName": "sysbox-runc"}, {}),
    "idle timeout that is the class's": ({"idleTimeoutSeconds": 600}, {}),
    "idle timeout that the class cuts": ({"idleTimeoutSeconds": 9999, "owner": "alice"}, {}),
    "environment": ({"environmentHash": HASH}, {"environment": ENVIRONMENT}),
    "environment but for what the operator owns": (
        {"environmentHash": HASH},
        {"environment": {**ENVIRONMENT, "OH_SECRET_KEY": "x"}},
    ),
    "command that is the default": ({"command": list(DEFAULT_COMMAND)}, {}),
    "limits of its life": ({"maximumLifeSeconds": 7, "restartedAt": "2026-01-31T12:00:00Z"}, {}),
    "whose it is": ({"sessionID": "s", "owner": "alice", "service": "Headless"}, {}),
}

DIFFERS: dict[str, tuple[dict[str, Any], dict[str, Any], MissReason, str]] = {
    "image": (
        {"image": "other:2"},
        {},
        MissReason.IMAGE_DIFFERS,
        f"Pool pool: image other:2 of the sandbox is not {IMAGE}.",
    ),
    "class": ({"className": "other"}, {}, MissReason.CLASS_DIFFERS, "class other"),
    "command": ({"command": ["a"]}, {}, MissReason.COMMAND_DIFFERS, "command ['a']"),
    "working directory": (
        {"workingDir": "/"},
        {"workingDir": "/workspace"},
        MissReason.WORKING_DIR_DIFFERS,
        "directory / of the sandbox is not /workspace",
    ),
    "working directory of the image": ({"workingDir": "/"}, {}, MissReason.WORKING_DIR_DIFFERS, "is not of the image"),
    "environment": ({"environmentHash": HASH}, {}, MissReason.ENVIRONMENT_DIFFERS, "another environment"),
    "an empty value": (
        {"environmentHash": HASH},
        {"environment": {**ENVIRONMENT, "C": ""}},
        MissReason.ENVIRONMENT_DIFFERS,
        "another environment",
    ),
    "a service's port": (
        {"servicePorts": {"work-1": 3000}, "environmentHash": HASH},
        {"environment": {"WORKER_1": "3000", "C": "3"}},
        MissReason.ENVIRONMENT_DIFFERS,
        "another environment",
    ),
    "a service's port alone": (
        {"servicePorts": {"work-1": 3000}},
        {},
        MissReason.SERVICE_PORTS_DIFFER,
        "service ports {'vscode': 60001, 'work-1': 3000, 'work-2': 12001} of the sandbox is not",
    ),
    "own variables": ({"env": [{"name": "A", "value": "secret"}]}, {}, MissReason.ENVIRONMENT_DIFFERS, "another"),
    "user": ({"runAsUser": 1234}, {}, MissReason.RUN_AS_DIFFERS, "(1234, 10001, 10001)"),
    "group": ({"runAsGroup": 1234}, {}, MissReason.RUN_AS_DIFFERS, "(10001, 1234, 10001)"),
    "group of the volume": ({"fsGroup": 1234}, {}, MissReason.RUN_AS_DIFFERS, "(10001, 10001, 1234)"),
    "runtime class": ({"runtimeClassName": "gvisor"}, {}, MissReason.RUNTIME_CLASS_DIFFERS, "class runsc"),
    "factor": ({"resourceFactor": 2}, {}, MissReason.RESOURCE_FACTOR_DIFFERS, "factor 2 of the sandbox is not 1"),
    "pull policy": ({"imagePullPolicy": "Always"}, {}, MissReason.PULL_POLICY_DIFFERS, "Always"),
    "idle timeout": ({"idleTimeoutSeconds": 60}, {}, MissReason.IDLE_TIMEOUT_DIFFERS, "60 of the sandbox is not 600"),
    "several": (
        {"command": ["a"], "resourceFactor": 2},
        {},
        MissReason.COMMAND_DIFFERS,
        "also: ResourceFactorDiffers.",
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_what_fits_misses_only_an_empty_pool(name: str) -> None:
    spec, of_pool = FITS[name]
    wanted, offered = sandbox(**spec), pool(**of_pool)
    assert template(wanted.spec, CLASS) == template(sandbox_spec(offered, KEYS), CLASS)
    found = why(wanted, offered)
    assert (found.reason, found.pool) == (MissReason.POOL_EMPTY, "pool")


@pytest.mark.parametrize("name", DIFFERS)
def test_what_differs_is_the_reason(name: str) -> None:
    spec, of_pool, reason, words = DIFFERS[name]
    wanted, offered = sandbox(**spec), pool(**of_pool)
    found = why(wanted, offered)
    assert (found.reason, found.pool) == (reason, "")
    assert words in str(found)
    assert str(found).startswith(f"{reason}: Pool pool: ")
    if reason is not MissReason.CLASS_DIFFERS:
        assert template(wanted.spec, CLASS) != template(sandbox_spec(offered, KEYS), CLASS)


@pytest.mark.parametrize("resources", [{}, {"limits": {"nvidia.com/gpu": "1"}}])
def test_a_factor_of_nothing_cannot_matter(resources: dict[str, Any]) -> None:
    found = why(sandbox(resourceFactor=8), pool(), class_=class_(resources=resources))
    assert found.reason is MissReason.POOL_EMPTY


def test_no_value_of_a_variable_is_told() -> None:
    wanted = sandbox(env=[{"name": "A", "value": "secret"}], environmentHash=HASH)
    assert "secret" not in str(why(wanted, pool()))
    assert HASH not in str(why(wanted, pool()))


def test_the_nearest_pool_is_that_of_the_same_image() -> None:
    wanted = sandbox(command=["a"], resourceFactor=2)
    near, far = pool("near", runAsUser=77), pool("far", image="other", command=["a"], resourceFactor=2)
    assert why(wanted, far, near).details.startswith("Pool near: command")


def test_the_nearest_pool_of_an_image_differs_least() -> None:
    wanted = sandbox(command=["a"])
    assert why(wanted, pool("a", runAsUser=77), pool("b")).details.startswith("Pool b: ")
    assert why(wanted, pool("a"), pool("b")).details.startswith("Pool a: ")


def test_without_pools_there_is_nothing_to_compare() -> None:
    assert why(sandbox()) == Miss(MissReason.NO_POOL)


def test_text_has_its_limit() -> None:
    assert len(str(why(sandbox(image="x" * 1024), pool(image="y" * 1024)))) < 512
    assert len(str(Miss(MissReason.OTHER, "x" * 5000))) == 512


def test_a_variable_that_would_come_too_late_is_named() -> None:
    wanted, offered = sandbox(environmentHash=HASH), pool(deferredInit=True)
    late = miss(wanted, CLASS, [offered], KEYS, {"pool": ["OH_VSCODE_PORT"]})
    assert str(late) == "EnvironmentDiffers: Pool pool: too late to change OH_VSCODE_PORT."
    empty = miss(wanted, CLASS, [offered], KEYS, {"pool": []})
    assert (empty.reason, empty.pool) == (MissReason.POOL_EMPTY, "pool")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, None),
        ({"warmStart": "Never"}, MissReason.NOT_ALLOWED),
    ],
)
def test_who_may_have_none(spec: dict[str, Any], reason: MissReason | None) -> None:
    found = obstacle(sandbox(**spec))
    assert (found and found.reason) == reason


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("", ""),
        ("/", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/a//b/./", "/a/b"),
        # These may be other directories: a link may stand before the dots, and relative ones depend on the image.
        ("/a/../b", "/a/../b"),
        ("a/", "a/"),
    ],
)
def test_spelling_of_a_directory(path: str, same: str) -> None:
    assert working_dir(path) == same


_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "command": st.sampled_from([[], ["a"], ["a", "b"]]),
        "workingDir": st.sampled_from(["", "/", "/w", "/w/"]),
        "resourceFactor": st.sampled_from([1, 2]),
        "runAsUser": st.sampled_from([10001, 7]),
        "runtimeClassName": st.sampled_from(["", "gvisor", "sysbox-runc", "unknown"]),
        "imagePullPolicy": st.sampled_from(["IfNotPresent", "Always"]),
    },
)


@given(wanted=_SPECS, offered=_SPECS)
def test_a_difference_is_found_just_when_the_templates_differ(wanted: dict[str, Any], offered: dict[str, Any]) -> None:
    asked, has = sandbox(**wanted), pool(**offered)
    same = template(asked.spec, CLASS) == template(sandbox_spec(has, KEYS), CLASS)
    assert (why(asked, has).reason is MissReason.POOL_EMPTY) == same
    assert why(asked, has).reason is not MissReason.OTHER
