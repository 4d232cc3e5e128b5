"""The node's daemons: configuration of containerd, CNI, kubelet and kube-proxy. Pure functions of the layout."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_cluster.network import NODE_ADDRESS, NODE_POD_CIDR, POD_CIDR
from local_cluster.paths import State

NODE_NAME = "node0"
DNS_IP = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
KUBELET_PORT = 10250
PROXY_HEALTH_PORT = 10256
NETWORK_NAME = "openhands-sandbox"
SECOND_HANDLER = "runc-again"


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
        **_runtime(f"plugins.'{cri}.runtime'.containerd.runtimes.runc", root / "runc"),
        # runc with another name and its own records, to test RuntimeClasses.
        **_runtime(f"plugins.'{cri}.runtime'.containerd.runtimes.{SECOND_HANDLER}", root / SECOND_HANDLER),
    }
    return "\n".join(_toml_table(name, values) for name, values in tables.items())


def _runtime(name: str, records: Path) -> dict[str, dict[str, Any]]:
    """The tables of one runtime handler. runc keeps its containers' state in the directory `records`."""
    options = {"BinaryName": "runc", "Root": str(records), "SystemdCgroup": False}
    return {name: {"runtime_type": "io.containerd.runc.v2"}, f"{name}.options": options}


def _toml_table(name: str, values: Mapping[str, Any]) -> str:
    # JSON's strings, booleans, numbers and arrays of them are valid TOML.
    header = f"[{name}]\n" if name else ""
    return header + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def cni_config(state: State) -> dict[str, Any]:
    """A bridge with host-local addresses. Without masquerading, pods see each other's own addresses."""
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
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
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
