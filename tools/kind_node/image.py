"""Builds the node image: a Debian with systemd, containerd, kubeadm and kubelet, and images of all that runs in pods.

It is for one node: the range of pod addresses is fixed.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from images import base, step
from images.buildah import KEYRING
from kind_node.manifests import dump, network_policies, storage_class
from local_cluster import packages
from local_cluster.build import binary, directory, ensure, required_version
from local_cluster.errors import ClusterError
from local_cluster.images import PROVISIONER, VOLUME_HELPER, write_archive, write_image
from local_cluster.node import cni_config
from local_cluster.paths import TOOLS, State, cache_dir
from local_cluster.progress import Progress

REPOSITORY = "localhost/openhands-sandbox-kind-node"
FILES = Path(__file__).parent / "files"
FAMILIES = (
    *("kubernetes", "kubeadm", "containerd", "coredns", "kube-router"),
    *("local-path-provisioner", "pause", "volume-helper"),
)
# kind reads the log until `Multi-User System` is reached, and runs kubectl and kubeadm in the node.
PACKAGES = "systemd-sysv,iptables,ipset,iproute2,mount,procps,util-linux,runc,containernetworking-plugins"
NODE_OPTIONS = (*base.OPTIONS, f"--include={PACKAGES}")
# kube-proxy and kube-router write rules of the firewall with these programs. Packages are unpacked, not configured.
NETWORK_OPTIONS = ("--variant=extract", "--include=iptables,ipset")
MERGED_USR = 'for name in bin sbin lib lib64; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done'
# What Debian's `alternatives` would do.
NFT = 'cd "$1/usr/sbin"; for program in ip*tables-nft*; do ln -s "$program" "$(echo "$program" | sed s/-nft//)"; done'
PATH_VARIABLE = "PATH=/usr/local/bin:/usr/sbin:/usr/bin"
# In the node, kind runs programs of these by name.
ON_THE_NODE = {
    "usr/bin": ("kubeadm", "kubectl", "kubelet"),
    "usr/local/bin": ("containerd", "containerd-shim-runc-v2", "ctr"),
}
# They would change the machine's kernel, or use its terminals.
MASKED = (
    *("systemd-binfmt.service", "systemd-modules-load.service", "systemd-sysctl.service"),
    *("console-getty.service", "getty.target"),
)


def build(progress: Progress) -> str:
    """The image's name in the Docker engine, which has it afterwards. Raises ClusterError."""
    ensure(FAMILIES, progress)
    reference = f"{REPOSITORY}:{_key()}"
    if subprocess.run(["docker", "image", "inspect", reference], capture_output=True).returncode == 0:
        return reference
    log = cache_dir() / "images" / "kind-node.log"
    missing = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
    packages.install(missing if KEYRING.exists() else [*missing, KEYRING.stem], log, progress)
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=log.parent, prefix="kind-node-") as name:
        scratch = Path(name)
        root = scratch / "root"
        shutil.copytree(FILES, root)
        _copy_binaries(root)
        _write_images(root / "kind/images", scratch, log, progress)
        _write_settings(root)
        tar = scratch / "node.tar"
        hooks = (
            f"--customize-hook=sync-in {root} /",
            '--customize-hook=chroot "$1" systemctl enable containerd kubelet',
            f'--customize-hook=chroot "$1" systemctl mask {" ".join(MASKED)}',
            '--customize-hook=chroot "$1" /kind/preload',
        )
        step.run("make the node image (mmdebstrap)", base.command(tar, options=(*NODE_OPTIONS, *hooks)), log, progress)
        changes = ("ENV container=docker", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]')
        command = ["docker", "import", *(f"--change={change}" for change in changes), str(tar), reference]
        step.run("give the node image to Docker", command, log, progress)
    return reference


def _key() -> str:
    """Twelve hexadecimal digits that identify the content, without Debian's updates."""
    sources = [*FILES.rglob("*"), *Path(__file__).parent.glob("*.py")]
    digest = hashlib.sha256(json.dumps([directory(name).name for name in FAMILIES]).encode())
    for path in sorted(path for path in sources if path.is_file()):
        digest.update(f"\0{path.relative_to(Path(__file__).parent)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _copy_binaries(root: Path) -> None:
    for place, names in ON_THE_NODE.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(binary(name), root / place / name)


def _version() -> str:
    return required_version((TOOLS / "kubeadm/go.mod").read_text(), "k8s.io/kubernetes")


def _kubeadm_images() -> dict[str, str]:
    """The images that kubeadm will ask for, by the last part of their names."""
    command = [str(binary("kubeadm")), "config", "images", "list", f"--kubernetes-version={_version()}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"kubeadm does not list its images: {done.stderr.strip()}")
    return {reference.rpartition("/")[2].partition(":")[0]: reference for reference in done.stdout.split()}


def _write_images(target: Path, scratch: Path, log: Path, progress: Progress) -> None:
    """Archives of all images: the programs that kubeadm and kind's manifests start."""
    target.mkdir()
    for image in (PROVISIONER, VOLUME_HELPER):
        shutil.copy(image.archive(), target)
    for name, reference in _kubeadm_images().items():
        path = target / f"{name}.tar"
        if name == "kube-proxy":
            write_image(
                path, reference, _network_layer(scratch / "network.tar", log, progress), {"Env": [PATH_VARIABLE]}
            )
        elif name in ("coredns", "pause"):
            write_archive(path, reference, {name: binary(name).read_bytes()}, {"Entrypoint": [f"/{name}"]})
        else:
            files = {f"usr/local/bin/{name}": binary(name).read_bytes()}
            write_archive(path, reference, files, {"Env": [PATH_VARIABLE]})


def _network_layer(tar: Path, log: Path, progress: Progress) -> bytes:
    """The files of the image that has kube-proxy and kube-router."""
    programs = [str(binary(name)) for name in ("kube-proxy", "kube-router")]
    options = (
        *NETWORK_OPTIONS,
        f"--setup-hook={MERGED_USR}",
        f'--extract-hook=mkdir -p "$1/usr/local/bin"; {NFT}',
        f"--extract-hook=copy-in {' '.join(programs)} /usr/local/bin",
    )
    step.run("make the image of kube-proxy (mmdebstrap)", base.command(tar, options=options), log, progress)
    return tar.read_bytes()


def _write_settings(root: Path) -> None:
    images = _kubeadm_images()
    (root / "kind/version").write_text(_version())
    (root / "kind/manifests").mkdir()
    (root / "kind/manifests/default-cni.yaml").write_text(dump(network_policies(images["kube-proxy"])))
    (root / "kind/manifests/default-storage.yaml").write_text(dump(storage_class()))
    (root / "etc/cni/net.d").mkdir(parents=True)
    network = cni_config(State(Path("/var/lib/kind-node")), has_ipv6=Path("/proc/sys/net/ipv6").exists())
    (root / "etc/cni/net.d/10-bridge.conflist").write_text(json.dumps(network))
    (root / "etc/kubernetes/manifests").mkdir(parents=True)
    (root / "etc/containerd").mkdir()
    (root / "etc/containerd/config.toml").write_text(containerd_config(images["pause"]))


def containerd_config(pause: str) -> str:
    return f"""\
version = 3

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{pause}"

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE no pod could lower its OOM score.
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "/etc/cni/net.d"
"""
