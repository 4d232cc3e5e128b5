"""The generated configuration against files that a person has looked at.

`UPDATE_GOLDEN=1 pytest tests/unit/tools/local_cluster` renews them.
"""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from local_cluster import components, dns, node, storage
from local_cluster.paths import State
from local_cluster.pki import Pki

GOLDEN = Path(__file__).parent / "golden"
STATE = State(Path("/state"))
BIN = Path("/bin")
SERVER = components.ApiServer(
    address="198.18.0.2",
    port=6443,
    pki=Pki(STATE.pki),
    etcd_socket=STATE.root / "client",
    audit_policy=STATE.config / "audit-policy.yaml",
    audit_log=STATE.audit_log,
)


def containerd_config() -> str:
    return node.containerd_config(STATE, sandbox_image="localhost/pause:1", cni_plugins=Path("/usr/lib/cni"))


def commands() -> str:
    return yaml.safe_dump(
        [
            components.etcd_command(BIN / "etcd", STATE.root / "etcd", STATE.root),
            components.apiserver_command(BIN / "kube-apiserver", SERVER, ["--extra=1"]),
            components.controller_manager_command(
                BIN / "kube-controller-manager",
                STATE.config / "controller-manager.kubeconfig",
                Pki(STATE.pki),
                ["--extra"],
            ),
            components.scheduler_command(BIN / "kube-scheduler", STATE.config / "scheduler.kubeconfig"),
            node.kubelet_command(BIN / "kubelet", STATE),
            node.policies_command(BIN / "kube-router", STATE),
        ]
    )


def dns_objects() -> str:
    objects = dns.manifests("(Corefile)", image="localhost/coredns:1")
    return yaml.safe_dump_all(objects, sort_keys=False, default_flow_style=False)


def storage_objects() -> str:
    objects = storage.manifests(STATE.volumes, image="localhost/provisioner:1", helper_image="localhost/helper:1")
    return yaml.safe_dump_all(objects, sort_keys=False, default_flow_style=False)


RENDERINGS: dict[str, Callable[[], str]] = {
    "commands.yaml": commands,
    "containerd.toml": containerd_config,
    "runsc.toml": lambda: node.runsc_config(STATE),
    "access.yaml": lambda: yaml.safe_dump_all(components.ACCESS, sort_keys=False),
    "cni.yaml": lambda: yaml.safe_dump(node.cni_config(STATE, has_ipv6=True)),
    "kubelet.yaml": lambda: yaml.safe_dump(node.kubelet_config(STATE)),
    "kube-proxy.yaml": lambda: yaml.safe_dump(node.proxy_config(STATE)),
    "audit-policy.yaml": lambda: yaml.safe_dump(components.AUDIT_POLICY),
    "dns.yaml": dns_objects,
    "storage.yaml": storage_objects,
    "Corefile.plain": lambda: dns.corefile(None, []),
    "Corefile.wildcard": lambda: dns.corefile(dns.Wildcard("sandbox.test", "10.96.1.2"), []),
    "Corefile.upstreams": lambda: dns.corefile(None, ["192.0.2.53", "192.0.2.54"]),
}


@pytest.mark.parametrize("name", RENDERINGS)
def test_the_configuration_is_the_golden_one(name: str) -> None:
    text = RENDERINGS[name]()
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(RENDERINGS)


def test_pods_lose_their_link_local_addresses_only_where_the_kernel_gives_them_some() -> None:
    with_ipv6, without = (node.cni_config(STATE, has_ipv6=has_ipv6)["plugins"] for has_ipv6 in (True, False))
    assert [plugin["type"] for plugin in without] == ["bridge", "portmap"]
    assert with_ipv6[:2] == without
    assert with_ipv6[2]["sysctl"] == {"net.ipv6.conf.eth0.disable_ipv6": "1"}


def test_the_containerd_configuration_is_toml_with_all_paths_below_the_state_directory() -> None:
    config = tomllib.loads(containerd_config())
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    runtimes = runtime["containerd"]["runtimes"]
    options = runtimes["runc"]["options"]
    for path in (
        config["root"],
        config["state"],
        config["grpc"]["address"],
        runtime["cni"]["conf_dir"],
        options["Root"],
        runtimes[node.GVISOR]["options"]["ConfigPath"],
        tomllib.loads(node.runsc_config(STATE))["root"],
    ):
        assert Path(path).is_relative_to(STATE.root)
    assert options["SystemdCgroup"] is False


def test_a_changed_corefile_changes_the_pod_template_and_an_equal_one_does_not() -> None:
    def template(corefile: str) -> object:
        return dns.manifests(corefile, image="image")[-1]["spec"]["template"]

    assert template("one") == template("one")
    assert template("one") != template("two")
