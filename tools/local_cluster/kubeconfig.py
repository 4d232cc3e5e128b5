"""Kubeconfig files with embedded certificates, so a client needs only this file."""

import base64
from pathlib import Path

import yaml

from local_cluster.pki import Identity, Pki


def kubeconfig(server: str, user: str, ca: bytes, certificate: bytes, key: bytes) -> str:
    """The YAML of a kubeconfig with one context, `local`; the last three arguments are PEM."""

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [
                {"name": "local", "cluster": {"server": server, "certificate-authority-data": encoded(ca)}},
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
                }
            ],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
        },
        sort_keys=False,
    )


def write(path: Path, server: str, pki: Pki, identity: Identity) -> Path:
    """Write the identity's kubeconfig, readable by its owner only; returns the path."""
    text = kubeconfig(
        server,
        identity.common_name,
        pki.ca.read_bytes(),
        pki.certificate(identity.name).read_bytes(),
        pki.key(identity.name).read_bytes(),
    )
    path.touch(mode=0o600)
    path.write_text(text)
    return path
