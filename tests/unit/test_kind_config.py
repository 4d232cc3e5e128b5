"""The configuration for kind leads to where the demo looks for the gateway."""

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from demo.release import NODE_PORT
from demo.targets import KIND_NAME, KIND_URL


def test_the_node_port_is_the_documented_url() -> None:
    config = yaml.safe_load((Path(__file__).parents[2] / "kind-config.yaml").read_text())
    assert config["name"] == KIND_NAME
    [node] = config["nodes"]
    [mapping] = node["extraPortMappings"]
    assert mapping["containerPort"] == NODE_PORT
    assert mapping["hostPort"] == urlsplit(KIND_URL).port
    assert mapping["listenAddress"] == "127.0.0.1"
