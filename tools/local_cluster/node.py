"""The node's daemons: configuration of containerd, CNI, kubelet and kube-proxy. Pure functions of the layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_cluster.components import SERVICE_CIDR
from local_cluster.network import NODE_ADDRESS, NODE_POD_CIDR, POD_CIDR
from local_cluster.paths import State

NODE_NAME = "node0"
DNS_IP = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
KUBELET_PORT = 10250
PROXY_HEALTH_PORT = 10256
NETWORK_NAME = "openhands-sandbox"
POLICIES_HEALTH_PORT = 20244
POLICIES_FLAGS = (
    "--run-firewall=true",
    "--run-router=false",
    "--run-service-proxy=false",
    "--run-loadbalancer=false",
    f"--service-cluster-ip-range={SERVICE_CIDR}",
)
"""The flags with which only the part of kube-router runs that enforces NetworkPolicies."""
GVISOR = "runsc"
"""The runtime handler that is gVisor."""
FAILING_HANDLER = "failing"
"""A runtime handler that starts nothing, as one that is not installed well."""
GVISOR_CLASS: dict[str, Any] = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "gvisor"},
    "handler": GVISOR,
}


def containerd_config(state: State, *, sandbox_image: str, cni_plugins: Path) -> str:
    """containerd's config.toml: everything below the state directory, runc, the bridge network."""
    root = state.containerd
    cri = "io.containerd.cri.v1"
    tables: Mapping[str, Mapping[str, Any]] = {
        "": {
            "version": 3,
            "root": str(root / "root"),
            "state": str(root / "state"),
        },
        "grpc": {"address": str(state.containerd_socket)},
        # Do not load plugins of the machine.
        "plugins.'io.containerd.nri.v1.nri'": {"disable": True},
        f"plugins.'{cri}.images'": {"snapshotter": "overlayfs"},
        f"plugins.'{cri}.images'.registry": {"config_path": str(state.registry_hosts)},
        f"plugins.'{cri}.images'.pinned_images": {"sandbox": sandbox_image},
        f"plugins.'{cri}.runtime'": {
            # Without CAP_SYS_RESOURCE (containers, micro-VMs) no pod could lower its OOM score.
            "restrict_oom_score_adj": True,
            "netns_mounts_under_state_dir": True,
        },
        f"plugins.'{cri}.runtime'.cni": {
            "bin_dirs": [str(cni_plugins)],
            "conf_dir": str(state.config / "cni"),
            # For each pod, the plugin would leave a file outside of the state directory.
            "use_internal_loopback": True,
        },
        f"plugins.'{cri}.runtime'.containerd": {"default_runtime_name": "runc"},
        **_runc("runc", root, program="runc"),
        **_runc(FAILING_HANDLER, root, program="false"),
        **_runtime(
            GVISOR,
            "io.containerd.runsc.v1",
            {"TypeUrl": "io.containerd.runsc.v1.options", "ConfigPath": str(state.config / "runsc.toml")},
        ),
    }
    return _toml(tables)


def runsc_config(state: State) -> str:
    """The configuration of gVisor's shim, with the flags of runsc."""
    return _toml(
        {
            "": {"root": str(state.containerd / GVISOR)},
            # Needs no virtualization, and is the default.
            "runsc_config": {"platform": "systrap"},
        }
    )


def _runc(handler: str, root: Path, *, program: str) -> dict[str, Mapping[str, Any]]:
    options = {"BinaryName": program, "Root": str(root / handler), "SystemdCgroup": False}
    return _runtime(handler, "io.containerd.runc.v2", options)


def _runtime(handler: str, kind: str, options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tables of one runtime handler."""
    name = f"plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{handler}"
    return {name: {"runtime_type": kind}, f"{name}.options": options}


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    return "\n".join(_toml_table(name, values) for name, values in tables.items())


def _toml_table(name: str, values: Mapping[str, Any]) -> str:
    # JSON's strings, booleans, numbers and arrays of them are valid TOML.
    header = f"[{name}]\n" if name else ""
    return header + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def cni_config(state: State, *, has_ipv6: bool) -> dict[str, Any]:
    """A bridge with host-local addresses. Without masquerading, pods see each other's own addresses.

    `has_ipv6` says whether the kernel gives each interface an IPv6 link-local address. NetworkPolicies of an IPv4
    cluster do not see what such addresses send to each other, so pods get none.
    """
    tuning = {"type": "tuning", "sysctl": {"net.ipv6.conf.eth0.disable_ipv6": "1"}}
    return {
        "cniVersion": "1.0.0",
        "name": NETWORK_NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": NODE_POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(state.root / "cni"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            *([tuning] if has_ipv6 else []),
        ],
    }


def kubelet_config(state: State) -> dict[str, Any]:
    """KubeletConfiguration: callers authenticate by certificate or token, and the API server authorizes them."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(state.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(state.pki / "kubelet-serving.crt"),
        "tlsPrivateKeyFile": str(state.pki / "kubelet-serving.key"),
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_IP],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "",
        "maxPods": 250,
        "serializeImagePulls": False,
        # The machine may have little free space: evict and collect only when the disk is nearly full.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        # Only the kubelet can limit the processes of a pod. A build or a browser in a sandbox has some hundreds.
        "podPidsLimit": 2048,
        # Limits of directories and of ephemeral storage are enforced, as on other clusters.
        "localStorageCapacityIsolation": True,
        # The age of directory sizes. The default is a minute, for which tests would wait.
        "volumeStatsAggPeriod": "10s",
        # The kubelet notices a flood of output within 3 s, the minimum, instead of 10 s.
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "containerLogMonitorInterval": "3s",
        "podLogsDir": str(state.logs / "pods"),
        "volumePluginDir": str(state.kubelet / "plugins-exec"),
        "staticPodPath": "",
    }


def kubelet_command(binary: Path, state: State) -> list[str]:
    return [
        str(binary),
        f"--config={state.config / 'kubelet.yaml'}",
        f"--kubeconfig={state.config / 'kubelet.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={state.kubelet}",
        f"--cert-dir={state.pki}",
    ]


def policies_command(binary: Path, state: State) -> list[str]:
    """kube-router, of which only the part runs that enforces NetworkPolicies."""
    return [
        str(binary),
        *POLICIES_FLAGS,
        f"--kubeconfig={state.config / 'policies.kubeconfig'}",
        f"--hostname-override={NODE_NAME}",
        f"--health-port={POLICIES_HEALTH_PORT}",
    ]


def proxy_config(state: State) -> dict[str, Any]:
    """KubeProxyConfiguration: iptables, NodePorts on the node's address only, connection tracking unchanged."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(state.config / "proxy.kubeconfig")},
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": f"{NODE_ADDRESS}:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": ["primary"],
        "iptables": {"localhostNodePorts": False},
        # A network namespace may not write these settings.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
