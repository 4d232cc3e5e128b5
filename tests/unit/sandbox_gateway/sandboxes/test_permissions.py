"""What a /start may ask for, and the words of each refusal."""

from typing import Any

import pytest

from sandbox_common.api_keys import Limits, Policy
from sandbox_crds.models import SandboxClassSpec, SandboxSpec
from sandbox_gateway.contract.errors import NotAllowedError
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.permissions import Permissions, check_groups, maximum_life

ALL = Permissions((), "default")
OURS = Permissions(("ghcr.io/openhands/*", "docker.io/python:3.13"), "default")
KEYS = Policy(images=("ghcr.io/openhands/agent-server@sha256:*", "quay.io/*"))
AGENT = "ghcr.io/openhands/agent-server"
PINNED = f"{AGENT}@sha256:{'0a' * 32}"


def request(**fields: Any) -> StartRequest:
    return StartRequest.model_validate({"image": AGENT, "session_id": "s", **fields})


def refusal(permissions: Permissions, policy: Policy, **fields: Any) -> str:
    with pytest.raises(NotAllowedError) as error:
        permissions.check(request(**fields), policy)
    assert error.value.status == 403
    return error.value.detail


def test_without_lists_any_image_is_left_to_the_nodes() -> None:
    for image in ("GHCR.io/openhands/a", "sha256:12ab", "python"):
        ALL.check(request(image=image), Policy())


def test_the_gateways_and_the_keys_list_must_both_allow_an_image() -> None:
    OURS.check(request(), Policy())
    OURS.check(request(image="python:3.13"), Policy())
    OURS.check(request(image=PINNED), KEYS)
    ALL.check(request(image="quay.io/a"), KEYS)
    assert refusal(OURS, KEYS, image=AGENT) == (
        f"image: '{AGENT}' is not allowed by your API key's list (images in its policy). Allowed are: "
        "ghcr.io/openhands/agent-server@sha256:*, quay.io/*."
    )
    assert refusal(OURS, KEYS, image="quay.io/a") == (
        "image: 'quay.io/a' is not allowed by this gateway's list (allowedImages of its chart). Allowed are: "
        "ghcr.io/openhands/*, docker.io/python:3.13."
    )


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("sha256:12ab", "(allowedImages of its chart): it is the id of an image on a node"),
        ("GHCR.io/openhands/a", ": it names its registry with upper-case letters. Allowed"),
    ],
)
def test_it_is_said_what_is_wrong_with_an_odd_image(image: str, said: str) -> None:
    detail = refusal(OURS, Policy(), image=image)
    assert detail.startswith("image: ")
    assert said in detail
    assert detail.isascii()


def test_the_agent_server_that_a_class_brings_is_an_image_too() -> None:
    def brings(image: str) -> SandboxClassSpec:
        return SandboxClassSpec.model_validate({"agentServer": {"image": image}})

    OURS.check_agent_server("any-image", SandboxClassSpec(), Policy())
    OURS.check_agent_server("any-image", brings(PINNED), KEYS)
    ALL.check_agent_server("any-image", brings("python"), Policy())
    for permissions, policy, whose in ((OURS, Policy(), "this gateway's list"), (ALL, KEYS, "your API key's list")):
        with pytest.raises(NotAllowedError) as error:
            permissions.check_agent_server("any-image", brings("python:3.12"), policy)
        assert error.value.detail.startswith(
            "agentServer.image of SandboxClass any-image: 'python:3.12' is not allowed"
        )
        assert whose in error.value.detail


def test_a_refusal_is_short_however_long_the_image_and_the_list() -> None:
    many = Permissions(tuple(f"ghcr.io/{'x' * 400}/{number}" for number in range(100)), "default")
    detail = refusal(many, Policy(), image=f"quay.io/{'x' * 200}:{'y' * 128}")
    assert len(detail) < 4000
    assert "ghcr.io/" + "x" * 400 + "/1 and 98 more." in detail
    assert "..." in detail


def test_what_a_session_has_may_stay() -> None:
    present = SandboxSpec(image="quay.io/old", resource_factor=4)
    policy = KEYS.model_copy(update={"limits": Limits(resource_factor=2)})
    OURS.check(request(image="quay.io/old", resource_factor=4), policy, present=present)
    with pytest.raises(NotAllowedError, match=r"^image: "):
        OURS.check(request(image="quay.io/old:2"), policy, present=present)
    with pytest.raises(NotAllowedError, match=r"^resource_factor: 8"):
        OURS.check(request(image="quay.io/old", resource_factor=8), policy, present=present)


def test_the_resource_factor_is_limited() -> None:
    policy = Policy(limits=Limits(resource_factor=2))
    for factor in (1, 2):
        ALL.check(request(resource_factor=factor), policy)
    ALL.check(request(resource_factor=8), Policy())
    assert refusal(ALL, policy, resource_factor=4) == (
        "resource_factor: 4 is more than your API key allows (limits.resourceFactor in its policy is 2). "
        "Ask for 2 at most."
    )


@pytest.mark.parametrize(
    ("classes", "asked", "class_name"),
    [
        ((), "", "default"),
        ((), "default", "default"),
        (("small", "large"), "", "small"),
        (("small", "large"), "large", "large"),
        (("small",), "small", "small"),
    ],
)
def test_the_class_of_a_sandbox(classes: tuple[str, ...], asked: str, class_name: str) -> None:
    assert ALL.class_name(request(sandbox_class=asked), Policy(classes=classes)) == class_name


@pytest.mark.parametrize(("classes", "asked"), [((), "large"), (("small", "large"), "default"), (("small",), "smal")])
def test_a_class_that_the_key_does_not_allow(classes: tuple[str, ...], asked: str) -> None:
    with pytest.raises(NotAllowedError) as error:
        ALL.class_name(request(sandbox_class=asked), Policy(classes=classes))
    assert error.value.detail.startswith(f"sandbox_class: {asked} is not allowed by your API key")
    assert error.value.detail.endswith(f"Allowed are: {', '.join(classes or ('default',))}.")


@pytest.mark.parametrize(
    ("groups", "field"),
    [
        ({}, ""),
        ({"run_as_group": 5}, ""),
        ({"fs_group": 0}, "fs_group"),
        ({"fs_group": 0, "run_as_group": 5}, "fs_group"),
        ({"run_as_group": 0}, "run_as_group"),
    ],
)
def test_the_root_group_is_for_classes_that_allow_it(groups: dict[str, int], field: str) -> None:
    check_groups(request(**groups), "big", SandboxClassSpec.model_validate({"pod": {"allowRootGroup": True}}))
    if not field:
        check_groups(request(**groups), "big", SandboxClassSpec())
        return
    with pytest.raises(NotAllowedError, match=f"^{field}: 0.* SandboxClass big .pod.allowRootGroup."):
        check_groups(request(**groups), "big", SandboxClassSpec())


@pytest.mark.parametrize(
    ("own", "of_class", "seconds"),
    [(None, 0, 600), (None, 60, 60), (None, 3600, 600), (0, 60, 600), (60, 3600, 60), (3600, 60, 600), (0, 0, 600)],
)
def test_a_life_is_as_long_as_the_shortest_limit(own: int | None, of_class: int, seconds: int) -> None:
    assert maximum_life(600, own, of_class) == seconds
