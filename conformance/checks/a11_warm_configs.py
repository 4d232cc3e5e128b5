"""A11: GET /api/warm-runtime-configs. The administrator's endpoints have no client."""

from typing import Any

from conformance.api import RuntimeApi, as_list, as_object, text_of
from conformance.contract import Client, required


def configs_of(api: RuntimeApi) -> list[dict[str, Any]]:
    """The configs in the server's answer."""
    configs = as_list(api.get("/api/warm-runtime-configs", seconds=10).fields.get("configs"), "configs")
    return [as_object(config, "a config") for config in configs]


@required(Client.APP)
def test_warm_runtime_configs(api: RuntimeApi) -> None:
    """app `dynamic_remote_sandbox_spec_service`: configs with name, image, command, environment and working_dir."""
    for config in configs_of(api):
        text_of(config, "name")
        text_of(config, "image")
        as_list(config.get("command"), "command")
        as_object(config.get("environment"), "environment")
        assert isinstance(config.get("working_dir"), str), "working_dir must be a string"


@required(Client.APP)
def test_warm_runtime_configs_can_be_asked_for(api: RuntimeApi) -> None:
    """app: sends command, environment and working_dir of a config to /start, which takes only strings in them."""
    configs = configs_of(api)
    for config in configs:
        words = as_list(config.get("command") or [], "command")
        assert all(isinstance(word, str) for word in words), "command must be a list of strings"
        values = as_object(config.get("environment") or {}, "environment").values()
        assert all(isinstance(value, str) for value in values), "values of environment must be strings"
    names = [config.get("name") for config in configs]
    assert len(names) == len(set(names)), "two configs have one name"
