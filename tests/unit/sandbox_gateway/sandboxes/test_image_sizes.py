"""What the operator learns of an image's size, and how seldom the registry is asked for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import httpx
import pytest

from sandbox_common.image_size import PATH, decode
from sandbox_gateway.process.servers import probes_app
from sandbox_gateway.registry.images import Images
from sandbox_gateway.sandboxes import image_sizes
from sandbox_gateway.sandboxes.image_sizes import ImageSizes
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from unit.sandbox_gateway.registry.server import Registry, running_registry
from unit.sandbox_gateway.support import KEYS, refusal

TOKEN = {"Authorization": f"Bearer {KEYS.internal_token()}"}


class Secrets:
    """No owner has any."""

    async def read(self, owner: str, class_name: str) -> Sequence[bytes]:
        return ()


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with running_registry(tmp_path) as running:
        running.push("a/b", "1")
        yield running


@pytest.fixture
async def http(registry: Registry) -> AsyncIterator[httpx.AsyncClient]:
    sizes = ImageSizes(Images([registry.name], registry.tls), cast("PullSecrets", Secrets()), KEYS.is_internal_token)
    transport = httpx.ASGITransport(probes_app(lambda: True, sizes.route))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica.test:8081") as http:
        yield http


async def size(http: httpx.AsyncClient, image: str, owner: str = "alice") -> int:
    answer = await http.get(PATH, params={"image": image, "owner": owner, "class": "default"}, headers=TOKEN)
    assert answer.status_code == 200
    return decode(answer.content)


async def test_a_registry_is_asked_once(registry: Registry, http: httpx.AsyncClient) -> None:
    image = f"{registry.name}/a/b:1"
    sizes = await asyncio.gather(*(size(http, image) for _ in range(5)))
    assert sizes == [await size(http, image)] * 5
    assert sizes[0] > 1230
    asked = len(registry.paths)
    assert asked == 2  # the manifest, and the configuration
    # What one owner may know does not answer the question of another.
    await size(http, image, "bob")
    assert len(registry.paths) == 2 * asked


async def test_what_is_not_known_is_0(registry: Registry, http: httpx.AsyncClient) -> None:
    assert await size(http, f"{registry.name}/a/no-such:1") == 0
    assert await size(http, "elsewhere.example/a:1") == 0


async def test_what_was_not_known_is_asked_for_with_the_next_question(
    registry: Registry, http: httpx.AsyncClient
) -> None:
    image = f"{registry.name}/a/late:1"
    assert await size(http, image) == 0
    registry.push("a/late", "1")
    assert await size(http, image) > 1230


async def test_a_tag_is_asked_for_again_after_a_while(
    registry: Registry, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sizes, "_TAG_SECONDS", 0.0)
    await size(http, f"{registry.name}/a/b:1")
    await asyncio.sleep(0.01)
    await size(http, f"{registry.name}/a/b:1")
    assert len(registry.paths) == 4


async def test_a_slow_registry_keeps_nobody_waiting(
    registry: Registry, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sizes, "ANSWER_SECONDS", 0.05)
    registry.slow = True
    assert await size(http, f"{registry.name}/a/b:1") == 0


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_it_is_for_the_operator_alone(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.get(PATH, params={"image": "a"}, headers=headers)
    assert answer.status_code == 401
    assert "operator" in refusal(answer, answer.status_code)


@pytest.mark.parametrize("image", ["", "A B", "http://169.254.169.254/a", "../../etc"])
async def test_what_is_no_image_is_refused(http: httpx.AsyncClient, image: str) -> None:
    answer = await http.get(PATH, params={"image": image}, headers=TOKEN)
    assert answer.status_code == 422
    assert refusal(answer, answer.status_code).startswith("image: ")


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"bytes": -1}', b'{"bytes": "1"}', b'{"bytes": 9999999999999999}', b"x"]
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(body)
