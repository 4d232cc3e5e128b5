"""Whose credentials /image_exists uses, and for which images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI

from sandbox_common.api_keys import ApiKey, Policy
from sandbox_gateway.registry.images import Images
from sandbox_gateway.runtime_api.audit import Noted, noted_in
from sandbox_gateway.runtime_api.gate import key_of
from sandbox_gateway.runtime_api.images import image_routes
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from unit.sandbox_gateway.registry.server import Registry, running_registry

BASIC = web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})


class Secrets:
    """The class's own: they show everything."""

    def __init__(self, registry: Registry) -> None:
        self._content = json.dumps({"auths": {registry.name: {"username": "me", "password": "p"}}}).encode()

    async def read(self, owner: str, class_name: str) -> Sequence[bytes]:
        """Like PullSecrets.read."""
        assert (owner, class_name) == ("alice", "default")
        return [self._content]


@pytest.mark.parametrize(
    ("listed", "of_key", "uses"),
    [
        ((), (), True),
        (("private/*",), ("private/*",), True),
        (("public/*",), (), False),
        ((), ("public/*",), False),
        (("private/*",), ("public/*",), False),
    ],
)
async def test_pull_secrets_are_used_only_for_images_that_the_key_may_start(
    tmp_path: Path, listed: Sequence[str], of_key: Sequence[str], uses: bool
) -> None:
    async with running_registry(tmp_path) as registry:
        registry.push("private/x", "1")
        path = "/v2/private/x/manifests/1"
        registry.answers[path] = [BASIC, BASIC, cast("web.Response", registry.answers[path])]
        key = ApiKey("alice-1", "alice", (), Policy(images=tuple(f"{registry.name}/{name}" for name in of_key)))
        permissions = Permissions(tuple(f"{registry.name}/{name}" for name in listed), "default")
        secrets = cast("PullSecrets", Secrets(registry))
        app = FastAPI()
        app.include_router(image_routes(Images((registry.name,), registry.tls), secrets, permissions, ""))
        app.dependency_overrides |= {key_of: lambda: key, noted_in: Noted}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as http:
            answer = (await http.get("/image_exists", params={"image": f"{registry.name}/private/x:1"})).json()
        assert (answer["exists"], answer["known"]) == (True, uses)
        assert any("Authorization" in request.headers for request in registry.asked) is uses
