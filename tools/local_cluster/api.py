"""Reads of an API server or kubelet with the administrator's rights, without kubectl's start-up time."""

import json
import ssl
import urllib.request
from typing import Any

from local_cluster.pki import ADMIN, Pki

TIMEOUT = 5.0


class Api:
    """A client with the administrator's certificate. Proxy settings of the shell do not apply."""

    def __init__(self, url: str, pki: Pki) -> None:
        context = ssl.create_default_context(cafile=str(pki.ca))
        context.load_cert_chain(pki.certificate(ADMIN.name), pki.key(ADMIN.name))
        self._url = url
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        return self._read("/readyz") == b"ok"

    def healthy(self) -> bool:
        """Whether the server, which may be a kubelet, says that it is healthy."""
        return self._read("/healthz") == b"ok"

    def get(self, path: str) -> dict[str, Any] | None:
        """One object; None when it does not exist or the API server does not answer."""
        body = self._read(path)
        return None if body is None else json.loads(body)

    def condition(self, path: str, kind: str) -> bool:
        """Whether the object at `path` has the status condition `kind` with status True."""
        found = self.get(path) or {}
        conditions: list[dict[str, Any]] = found.get("status", {}).get("conditions", [])
        return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)

    def _read(self, path: str) -> bytes | None:
        try:
            with self._opener.open(self._url + path, timeout=TIMEOUT) as answer:
                return answer.read()
        except OSError:  # also every answer other than 2xx
            return None


def answers(url: str) -> bool:
    """Whether a plain HTTP GET succeeds, without any proxy."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=TIMEOUT):
            return True
    except OSError:
        return False
