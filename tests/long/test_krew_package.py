"""The package of the plugin for krew runs by itself, with no other package of Python's installed."""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml


def test_the_package_runs(tmp_path: Path) -> None:
    made = tmp_path / "made"
    chosen = ["--url=https://example.com", "--platform=linux-amd64", f"--directory={made}"]
    subprocess.run([sys.executable, "-m", "krew_package", *chosen], check=True)
    archive = made / "kubectl-ohsb-linux-amd64.tar.gz"
    [platform] = yaml.safe_load((made / "ohsb.yaml").read_text())["spec"]["platforms"]
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    with tarfile.open(archive) as opened:
        # krew refuses links.
        assert all(member.isfile() or member.isdir() for member in opened.getmembers())
        opened.extractall(tmp_path / "there", filter="data")
    # Isolated, so that it finds nothing of this environment.
    base = Path(sys.base_prefix, "bin", "python3")
    program = [base, "-I", tmp_path / "there" / platform["bin"]]
    helped = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True).stdout
    assert "explain" in helped
    refused = subprocess.run([*program, "list", "--kubeconfig=/nothing"], capture_output=True, text=True)
    assert (refused.returncode, "there is no file /nothing" in refused.stderr) == (1, True)
