"""Pools as the Runtime API tells them."""

from typing import Any

from sandbox_crds.models import SandboxPool, SandboxPoolStatus
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.builders import sandbox_body
from sandbox_gateway.sandboxes.pools import config


def pool(**spec: Any) -> SandboxPool:
    return SandboxPool.model_validate({"metadata": {"name": "a-pool"}, "spec": {"image": "agent:1", **spec}})


def test_a_config_has_the_fields_of_start() -> None:
    spec = {"command": ["serve", "--port", "1"], "environment": {"A": "1"}, "workingDir": "/workspace"}
    found = pool(**spec)
    ready = found.model_copy(update={"status": SandboxPoolStatus(ready_replicas=2)})
    assert config(ready).model_dump() == {
        "name": "a-pool",
        "ready": 2,
        "image": "agent:1",
        "command": ["serve", "--port", "1"],
        "environment": {"A": "1"},
        "working_dir": "/workspace",
        "run_as_user": 10001,
        "run_as_group": 10001,
        "fs_group": 10001,
    }


def test_who_starts_what_a_config_says_asks_for_what_the_pool_runs() -> None:
    told = pool(command=["serve", "--price=$$5", "$$(NAME)"], runAsUser=1, runAsGroup=0, fsGroup=3)
    config_ = config(told)
    request = StartRequest.model_validate({**config_.model_dump(), "session_id": "s"})
    body = sandbox_body("sb-a", "alice", request, environment_hash="", class_name="default")
    assert config_.command == ["serve", "--price=$5", "$(NAME)"]
    assert body["spec"]["command"] == told.spec.command
    assert body["spec"]["image"] == told.spec.image
    assert [body["spec"][field] for field in ("runAsUser", "runAsGroup", "fsGroup")] == [1, 0, 3]
