"""kopf's part: credentials and settings. That it really feeds the stores is tried on a real API server."""

import asyncio
import getpass
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import kopf
import pytest
from kubernetes.aio.client import Configuration

from sandbox_crds.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator import glue
from sandbox_operator.store import Store


async def test_credentials_are_those_of_our_client(tmp_path: Path) -> None:
    configuration = Configuration(host="https://198.51.100.1:6443")
    configuration.ssl_ca_cert = str(tmp_path / "ca")
    configuration.api_key["BearerToken"] = "bearer token"
    info = await glue.connection(configuration)
    assert (info.server, info.ca_path, info.token) == ("https://198.51.100.1:6443", str(tmp_path / "ca"), "token")
    assert not info.insecure
    assert info.as_http_headers() == {"Authorization": "Bearer token"}


async def test_a_client_certificate_needs_no_token(tmp_path: Path) -> None:
    configuration = Configuration(host="https://198.51.100.1:6443")
    configuration.cert_file, configuration.key_file = str(tmp_path / "cert"), str(tmp_path / "key")
    info = await glue.connection(configuration)
    assert (info.certificate_path, info.private_key_path) == (str(tmp_path / "cert"), str(tmp_path / "key"))
    assert info.as_http_headers() == {}


@pytest.fixture
def settings() -> kopf.OperatorSettings:
    return glue.settings()


def test_kopf_keeps_nothing_in_objects(settings: kopf.OperatorSettings) -> None:
    body, patch = kopf.Body({"metadata": {}, "spec": {"image": "image"}}), kopf.Patch()
    diffs, progress = settings.persistence.diffbase_storage, settings.persistence.progress_storage
    essence = diffs.build(body=body)
    diffs.store(body=body, patch=patch, essence=essence)
    assert diffs.fetch(body=body) is None
    handler = kopf.HandlerId("handler")
    progress.touch(body=body, patch=patch, value="now")
    progress.purge(key=handler, body=body, patch=patch)
    assert progress.fetch(key=handler, body=body) is None
    assert progress.clear(essence=essence) == essence
    assert not patch


async def test_kopf_remembers_no_object() -> None:
    memories = glue.NoMemories()
    first = await memories.recall({"metadata": {"uid": "one"}}, noticed_by_listing=True)
    assert await memories.recall({"metadata": {"uid": "one"}}) is not first
    assert not list(memories.iter_all_memories())


def test_kopf_tries_for_ever_and_needs_no_rights_outside_of_its_namespace(settings: kopf.OperatorSettings) -> None:
    backoffs = cast(Iterable[float], settings.networking.error_backoffs)
    for _ in range(2):
        assert len(list(itertools.islice(backoffs, 1000))) == 1000
    assert settings.scanning.disabled
    assert not settings.posting.enabled


async def test_kopf_runs_for_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    sandboxes = Store(SANDBOXES, Sandbox, lambda _: None)
    classes = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
    started = asyncio.Event()

    async def login(_: Configuration) -> kopf.ConnectionInfo:
        started.set()
        return kopf.ConnectionInfo(server="http://127.0.0.1:1")

    monkeypatch.setattr(glue, "connection", login)
    watching = asyncio.create_task(glue.watch(Configuration(), "here", [sandboxes, classes], lambda: None))
    # Nobody listens there, so it goes on trying.
    await asyncio.wait([watching, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert not watching.done()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
