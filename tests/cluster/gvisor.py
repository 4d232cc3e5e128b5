"""Sandboxes in gVisor, for whoever asks for the runtime class of the SDK."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager

from cluster.sdk_uses import key_body
from cluster.site import Site
from local_cluster.node import GVISOR_CLASS
from sandbox_crds.api import API_VERSION

CLASS = "contained"
GVISOR = GVISOR_CLASS["metadata"]["name"]


@contextmanager
def with_class(site: Site) -> Generator[str]:
    """An API key whose sandboxes have volumes, and gVisor if they ask for the runtime class of the SDK."""
    key = secrets.token_urlsafe(32)
    spec = site.kubectl("get", "sandboxclass", "persistent", "--output", "json")["spec"]
    spec["runtimeClasses"] = {"sysbox-runc": GVISOR}
    items = [
        {"apiVersion": API_VERSION, "kind": "SandboxClass", "metadata": {"name": CLASS}, "spec": spec},
        key_body(CLASS, key),
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    site.kubectl("apply", "--filename", "-", body=body)
    yield key
    site.kubectl("delete", "--filename", "-", body=body)
