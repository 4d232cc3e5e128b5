"""A11: GET /api/warm-runtime-configs. The administrator's endpoints have no client."""

from conformance.api import RuntimeApi, as_list, as_object, text_of
from conformance.contract import Client, required


@required(Client.APP)
def test_warm_runtime_configs(api: RuntimeApi) -> None:
    """app `dynamic_remote_sandbox_spec_service`: configs with name, image, command, environment and working_dir."""
    configs = as_list(api.get("/api/warm-runtime-configs", seconds=10).fields.get("configs"), "configs")
    for config in (as_object(config, "a config") for config in configs):
        text_of(config, "name")
        text_of(config, "image")
        as_list(config.get("command"), "command")
        as_object(config.get("environment"), "environment")
        text_of(config, "working_dir")
