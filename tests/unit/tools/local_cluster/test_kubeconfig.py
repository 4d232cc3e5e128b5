import base64
from pathlib import Path

import yaml

from local_cluster import kubeconfig, pki
from local_cluster.pki import Pki


def test_a_kubeconfig_holds_all_that_a_client_needs_and_is_private(tmp_path: Path) -> None:
    certificates = Pki(tmp_path / "pki")
    certificates.create([pki.ADMIN])

    path = kubeconfig.write(tmp_path / "config", "https://198.18.0.2:6443", certificates, pki.ADMIN)

    config = yaml.safe_load(path.read_text())
    (cluster,), (user,), (context,) = config["clusters"], config["users"], config["contexts"]
    assert config["current-context"] == context["name"]
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert cluster["cluster"]["server"] == "https://198.18.0.2:6443"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == certificates.ca.read_bytes()
    assert base64.b64decode(user["user"]["client-key-data"]) == certificates.key("admin").read_bytes()
    assert base64.b64decode(user["user"]["client-certificate-data"]) == certificates.certificate("admin").read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
