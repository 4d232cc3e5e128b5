"""Where a /start differs from the sandbox that is there, field by field."""

from typing import Any

import pytest

from sandbox_crds.models import SandboxClassSpec, SandboxSpec
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.changes import FIELDS, at_once, can_change_class, changes, names_environment, requested
from unit.sandbox_gateway.support import sandbox

FIRST = {
    "image": "agent:1",
    "session_id": "s",
    "command": "run --port 8000",
    "working_dir": "/a",
    "environment": {"TOKEN": "old"},
    "run_as_user": 1001,
    "run_as_group": 1002,
    "fs_group": 1003,
    "image_pull_policy": "Always",
    "runtime_class": "one",
    "resource_factor": 2,
    "sandbox_class": "small",
    "idle_timeout_seconds": 60,
    "pending_timeout_seconds": 600,
}
ASIDE = {"session_id", "environment", "sandbox_class"}
"""What names the sandbox, and what is compared elsewhere."""

DIFFERENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "image": ("agent:2", {"image": "agent:2"}),
    "command": ("run $A", {"command": ["run", "$$A"]}),
    "working_dir": ("/b", {"workingDir": "/b"}),
    "run_as_user": (2001, {"runAsUser": 2001}),
    "run_as_group": (2002, {"runAsGroup": 2002}),
    "fs_group": (2003, {"fsGroup": 2003}),
    "image_pull_policy": ("Never", {"imagePullPolicy": "Never"}),
    "runtime_class": ("two", {"runtimeClassName": "two"}),
    "resource_factor": (4, {"resourceFactor": 4}),
    "idle_timeout_seconds": (0, {"idleTimeoutSeconds": 0}),
    "pending_timeout_seconds": (0, {"pendingTimeoutSeconds": 0}),
}
"""Another value for each field of /start, and the spec field that it changes."""


def start(**fields: Any) -> StartRequest:
    return StartRequest.model_validate(fields)


SPEC = SandboxSpec.model_validate(requested(start(**FIRST)))


def test_every_field_of_a_start_is_in_a_table() -> None:
    """A field that is added to /start must be applied to, or be told of, a sandbox that is there."""
    assert {name for field in FIELDS for name in field.names} | ASIDE == set(StartRequest.model_fields)
    assert DIFFERENT.keys() | ASIDE == set(StartRequest.model_fields)


@pytest.mark.parametrize("whole", [True, False])
def test_the_same_request_changes_nothing(whole: bool) -> None:
    same = changes(start(**FIRST), SPEC, whole=whole)
    assert (same.spec, same.names) == ({}, ())


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", DIFFERENT)
def test_a_field_with_another_value_changes_the_spec(name: str, whole: bool) -> None:
    value, spec = DIFFERENT[name]
    different = changes(start(**{**FIRST, name: value}), SPEC, whole=whole)
    assert (different.spec, different.names) == (spec, (name,))


def test_what_is_left_out_stays_or_becomes_the_default() -> None:
    bare = start(image="agent:1", session_id="s", command=None)
    kept = changes(bare, SPEC, whole=False)
    assert (kept.spec, kept.names) == ({}, ())
    assert not names_environment(bare)
    anew = changes(bare, SPEC, whole=True)
    assert set(anew.names) == DIFFERENT.keys() - {"image"}
    assert SandboxSpec.model_validate({"image": "agent:1", **anew.spec}) == SandboxSpec.model_validate(requested(bare))


def test_how_long_the_client_waits_may_be_said_in_the_environment_and_is_heard_at_once() -> None:
    said = start(image="agent:1", session_id="s", environment={"OHSB_PENDING_TIMEOUT_SECONDS": "30"})
    different = changes(said, SPEC, whole=False)
    assert (different.spec, different.names) == ({"pendingTimeoutSeconds": 30}, ("pending_timeout_seconds",))
    assert at_once(different) == different.spec
    assert at_once(changes(start(**{**FIRST, "image": "agent:2"}), SPEC, whole=False)) == {}


def test_a_group_follows_the_fs_group_that_is_asked_for() -> None:
    spec = sandbox(spec=requested(start(image="agent:1", session_id="s", fs_group=7))).spec
    asked = changes(start(image="agent:1", session_id="s", fs_group=8), spec, whole=False)
    assert (asked.spec, asked.names) == ({"runAsGroup": 8, "fsGroup": 8}, ("fs_group",))


def test_an_empty_environment_is_asked_for_by_who_sends_one() -> None:
    assert names_environment(start(image="agent:1", session_id="s", environment={}))


KEPT, LOST = (SandboxClassSpec.model_validate({"workspace": {"persistent": kept}}) for kept in (True, False))


@pytest.mark.parametrize(
    ("present", "wanted", "launched", "possible"),
    [
        (KEPT, KEPT, True, True),
        (LOST, LOST, True, True),
        (KEPT, LOST, True, False),
        (LOST, KEPT, True, False),
        (None, KEPT, True, False),
        (KEPT, None, True, False),
        (None, KEPT, False, True),
        (LOST, KEPT, False, True),
    ],
)
def test_a_class_changes_only_where_no_workspace_is_hidden(
    present: SandboxClassSpec | None, wanted: SandboxClassSpec | None, launched: bool, possible: bool
) -> None:
    assert can_change_class(present, wanted, launched=launched) is possible
