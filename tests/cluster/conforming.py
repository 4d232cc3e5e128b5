"""The conformance suite against a release on the cluster, with the real agent server and the real SDK."""

import json
import secrets
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cluster.site import Site
from cluster.support import eventually
from conformance.contract import SECTIONS
from demo.commands import follow
from sandbox_common.keys import api_key_hash
from sandbox_crds.api import API_KEY_LABEL


def conform(site: Site, key: str, sdk: Path, report: Path) -> None:
    """Run the suite with this API key and one of another owner, and await the end of all sandboxes."""
    env = {
        "RUNTIME_API_URL": site.url,
        "RUNTIME_API_KEY": key,
        "OTHER_RUNTIME_API_KEY": other_key(site),
        "AGENT_SERVER_IMAGE": site.release.images.agent_server,
        # The address is the project's own; a proxy for the way out has no part in it.
        "NO_PROXY": str(urlsplit(site.url).hostname),
    }
    command = [sys.executable, "-m", "conformance", "--sdk-python", str(sdk), "--report", str(report)]
    code, transcript = follow(command, env=env)
    told = json.loads(report.read_text())
    assert code == 0, transcript
    assert list(told["sections"]) == [section.key for section in SECTIONS]
    assert [test["name"] for test in told["tests"] if test["outcome"] != "passed"] == [], transcript
    eventually(lambda: site.kubectl("get", "ohsb", "--output", "name").split(), lambda left: left == [])


def other_key(site: Site) -> str:
    """An API key of another owner."""
    key = secrets.token_urlsafe(32)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "conformance-other-api-key", "labels": {API_KEY_LABEL: "true"}},
        "stringData": {"sha256": api_key_hash(key), "owner": "another"},
    }
    site.kubectl("apply", "--filename", "-", body=secret)
    eventually(lambda: site.gateway.get("/list", headers={"X-API-Key": key}).status_code, lambda status: status == 200)
    return key
