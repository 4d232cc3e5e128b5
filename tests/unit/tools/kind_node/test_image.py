"""What kind reads from a node, and what the node's programs read of each other."""

import json
import os
import tomllib
from typing import Any

import yaml

from kind_node import image
from kind_node.manifests import dump, network_policies, storage_class
from local_cluster.images import PROVISIONER, VOLUME_HELPER


def test_kind_finds_the_snapshotter_in_the_configuration_of_containerd() -> None:
    config = tomllib.loads(image.containerd_config("example/pause:1"))
    images = config["plugins"]["io.containerd.cri.v1.images"]
    assert (config["version"], images["snapshotter"]) == (3, "overlayfs")
    assert images["pinned_images"]["sandbox"] == "example/pause:1"


def test_kind_applies_the_manifests() -> None:
    objects = [*network_policies("example/proxy:1"), *storage_class()]
    assert list(yaml.safe_load_all(dump(objects))) == objects


def containers(objects: list[Any]) -> list[str]:
    """The images of all containers, whose images the node must have."""
    return [
        container["image"]
        for each in objects
        if "template" in each.get("spec", {})
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


def test_the_manifests_need_only_images_of_the_node() -> None:
    assert containers([*network_policies("example/proxy:1"), *storage_class()]) == [
        "example/proxy:1",
        PROVISIONER.reference,
    ]
    [config] = [each for each in storage_class() if each["kind"] == "ConfigMap"]
    helper = json.loads(config["data"]["helperPod.yaml"])
    assert [each["image"] for each in helper["spec"]["containers"]] == [VOLUME_HELPER.reference]


def test_the_kubelet_reads_the_drop_in() -> None:
    unit = (image.FILES / "etc/systemd/system/kubelet.service").read_text()
    [drop_in] = (image.FILES / "kind/kubelet.d").iterdir()
    assert f"--config-dir=/kind/{drop_in.parent.name} " in unit
    assert drop_in.suffix == ".conf"
    assert yaml.safe_load(drop_in.read_text())["kind"] == "KubeletConfiguration"


def test_programs_are_executable() -> None:
    assert all(os.access(image.FILES / name, os.X_OK) for name in ("usr/local/bin/entrypoint", "kind/preload"))
