"""What a registry says of an image, and what it cannot make the gateway do."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog.testing
from aiohttp import web

from sandbox_crds.image_references import Reference
from sandbox_gateway.contract.responses import ImageExistsResponse
from sandbox_gateway.registry import http, images
from sandbox_gateway.registry.images import Images
from unit.sandbox_gateway.registry.server import Registry, running_registry

MANIFEST = "/v2/a/b/manifests/1"
TIME = "2026-01-02T03:04:05.123456789Z"
TOKEN = "anonymous.token"


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with running_registry(tmp_path) as running:
        yield running


async def no_secrets() -> Sequence[bytes]:
    return ()


async def look(
    registry: Registry, image: str = "a/b:1", *trusted: str, secrets: Sequence[bytes] | None = ()
) -> ImageExistsResponse:
    async def read() -> Sequence[bytes] | None:
        return secrets

    asked = Images((registry.name, *trusted), registry.tls)
    return await asked.look(Reference.parse(f"{registry.name}/{image}"), read)


def unknown(answer: ImageExistsResponse, words: str) -> None:
    assert (answer.exists, answer.known) == (True, False)
    assert words in answer.detail
    assert "nodes may be able to pull" in answer.detail
    assert (answer.image.upload_time, answer.image.image_size_bytes) == ("", 0)


def redirect(location: str) -> web.Response:
    return web.Response(status=307, headers={"Location": location})


def challenge(**parameters: str) -> web.Response:
    values = ",".join(f'{name}="{value}"' for name, value in parameters.items())
    return web.Response(status=401, headers={"WWW-Authenticate": f"Bearer {values}"})


async def test_an_image_that_is_there(registry: Registry) -> None:
    registry.push("a/b", "1")
    answer = await look(registry)
    assert (answer.exists, answer.known) == (True, True)
    assert answer.image.upload_time == TIME
    assert answer.image.image_size_bytes > 1230  # three layers and the configuration
    assert "vnd.oci.image.index" in registry.asked[0].headers["Accept"]
    assert "Authorization" not in registry.asked[0].headers


async def test_an_image_by_its_digest_and_one_by_the_default_tag(registry: Registry) -> None:
    digest = registry.push("a/b", "latest")["digest"]
    assert (await look(registry, f"a/b:other@{digest}")).exists
    assert (await look(registry, "a/b")).exists
    assert not (await look(registry, "a/b:other")).exists


async def test_an_index_is_judged_by_its_usual_platform(registry: Registry) -> None:
    arm = {**registry.push("a/b", "arm", "2020-01-01T00:00:00Z"), "platform": {"os": "linux", "architecture": "arm64"}}
    amd = {**registry.push("a/b", "amd"), "platform": {"os": "linux", "architecture": "amd64"}}
    registry.push_index("a/b", "1", [arm, amd])
    assert (await look(registry)).image.upload_time == TIME
    registry.push_index("a/b", "1", [arm])
    assert (await look(registry)).image.upload_time == "2020-01-01T00:00:00Z"


async def test_an_image_that_is_missing(registry: Registry) -> None:
    answer = await look(registry)
    assert (answer.exists, answer.known) == (False, True)
    assert (answer.image.upload_time, answer.image.image_size_bytes) == ("", 0)
    assert registry.name in answer.detail


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_token_for_everybody_is_fetched_as_the_registry_says(registry: Registry, name: str) -> None:
    registry.push("a/b", "1")
    realm = f"{registry.url}/token?account=none"
    whole = registry.answers[MANIFEST]
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [challenge(realm=realm, service="s"), whole]
    registry.answers["/token"] = web.json_response({name: TOKEN})
    with structlog.testing.capture_logs() as logs:
        answer = await look(registry)
    assert (answer.known, answer.image.upload_time) == (True, TIME)
    query = parse_qs(urlsplit(registry.paths[1]).query)
    assert query == {"account": ["none"], "service": ["s"], "scope": ["repository:a/b:pull"]}
    assert [request.headers.get("Authorization") for request in registry.asked[2:]] == [f"Bearer {TOKEN}"] * 2
    assert TOKEN not in f"{answer} {logs}"


@pytest.mark.parametrize(
    "first",
    [
        web.Response(status=401),
        web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'}),
        web.Response(status=403),
        challenge(service="no realm"),
        # Quadratic work on it would outlast all time that the registry has.
        web.Response(status=401, headers={"WWW-Authenticate": f"Bearer {'a' * 20_000}"}),
    ],
)
async def test_what_is_shown_to_nobody_without_credentials_is_not_known(
    registry: Registry, first: web.Response
) -> None:
    registry.answers[MANIFEST] = first
    unknown(await look(registry), f"without credentials (status {first.status})")
    assert registry.paths == [MANIFEST]


@pytest.mark.parametrize(
    "token",
    [
        web.Response(status=403),
        web.Response(text="no JSON"),
        web.json_response([TOKEN]),
        web.json_response({"token": "two\r\nlines"}),
        web.json_response({"token": 5}),
        web.json_response({"token": TOKEN}),  # which opens nothing
    ],
)
async def test_a_token_that_does_not_help_is_tried_once(registry: Registry, token: web.Response) -> None:
    registry.answers[MANIFEST] = challenge(realm=f"{registry.url}/token")
    registry.answers["/token"] = token
    unknown(await look(registry), "without credentials")
    assert len(registry.asked) <= 3


PASSWORD = "pass:word"


def login(registry: Registry, password: str = PASSWORD) -> bytes:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    return json.dumps({"auths": {registry.name: {"auth": auth}}}).encode()


BASIC = web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
LOGIN = f"Basic {base64.b64encode(b'me:pass:word').decode()}"


@pytest.mark.parametrize("first", [BASIC, web.Response(status=403), web.Response(status=404)])
async def test_an_image_that_is_hidden_is_found_with_a_pull_secret(registry: Registry, first: web.Response) -> None:
    registry.push("a/b", "1")
    whole = registry.answers[MANIFEST]
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [first, BASIC, whole]
    with structlog.testing.capture_logs() as logs:
        answer = await look(registry, secrets=[b"no JSON", login(registry)])
    assert (answer.exists, answer.known, answer.image.upload_time) == (True, True, TIME)
    assert [request.headers.get("Authorization") for request in registry.asked[:3]] == [None, None, LOGIN]
    assert "pass:word" not in f"{answer} {logs}"
    assert LOGIN not in f"{answer} {logs}"


async def test_a_token_is_fetched_with_a_pull_secret(registry: Registry) -> None:
    registry.push("a/b", "1")
    whole, asks = registry.answers[MANIFEST], challenge(realm=f"{registry.url}/token")
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [asks, web.Response(status=401), asks, whole]
    registry.answers["/token"] = [web.json_response({"token": "anonymous"}), web.json_response({"token": TOKEN})]
    answer = await look(registry, secrets=[login(registry)])
    assert (answer.exists, answer.known) == (True, True)
    sent = [(request.path, request.headers.get("Authorization")) for request in registry.asked]
    tokens = [header for path, header in sent if path == "/token"]
    assert tokens == [None, LOGIN]
    assert [header for path, header in sent if path == MANIFEST] == [None, "Bearer anonymous", None, f"Bearer {TOKEN}"]


async def test_pull_secrets_are_read_only_for_an_image_that_is_hidden(registry: Registry) -> None:
    async def read() -> Sequence[bytes]:
        raise AssertionError

    registry.push("a/b", "1")
    answer = await Images((registry.name,), registry.tls).look(Reference.parse(f"{registry.name}/a/b:1"), read)
    assert answer.exists


async def test_a_wrong_password_is_told_and_tried_once(registry: Registry) -> None:
    registry.answers[MANIFEST] = BASIC
    unknown(await look(registry, secrets=[login(registry, "wrong")]), "refuses the pull Secrets (status 401)")
    assert len(registry.asked) == 3


async def test_an_image_that_is_missing_for_whoever_may_look_is_missing(registry: Registry) -> None:
    registry.answers[MANIFEST] = [web.Response(status=403), web.Response(status=404)]
    answer = await look(registry, secrets=[login(registry)])
    assert (answer.exists, answer.known) == (False, True)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([web.Response(status=404), BASIC], "without credentials (status 404), and it refuses the pull Secrets"),
        ([web.Response(status=404), web.Response(status=503)], "(status 404), and it answers with status 503"),
        ([BASIC, web.Response(status=503)], "(status 401), and it answers with status 503"),
        # The other credentials might have shown it.
        ([web.Response(status=404), BASIC, BASIC, web.Response(status=404)], "it refuses the pull Secrets"),
        ([web.Response(status=404), web.Response(status=404), BASIC], "it refuses the pull Secrets"),
    ],
)
async def test_an_image_that_is_missing_may_be_hidden_if_credentials_do_not_work(
    registry: Registry, answers: list[web.Response], words: str
) -> None:
    registry.answers[MANIFEST] = answers
    unknown(await look(registry, secrets=[login(registry), login(registry, "other")]), words)


@pytest.mark.parametrize("first", [BASIC, web.Response(status=404)])
async def test_an_image_may_be_hidden_if_pull_secrets_cannot_be_read(registry: Registry, first: web.Response) -> None:
    registry.answers[MANIFEST] = first
    words = f"(status {first.status}), and the gateway cannot read the pull Secrets"
    unknown(await look(registry, secrets=None), words)


async def test_credentials_that_do_not_work_hinder_no_others(registry: Registry) -> None:
    registry.push("a/b", "1")
    whole = registry.answers[MANIFEST]
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [web.Response(status=404), web.Response(status=503), whole]
    answer = await look(registry, secrets=[login(registry, "wrong"), login(registry)])
    assert (answer.exists, answer.known) == (True, True)


async def test_an_image_that_is_missing_with_and_without_credentials_is_missing(registry: Registry) -> None:
    answer = await look(registry, secrets=[login(registry)])
    assert (answer.exists, answer.known) == (False, True)


async def test_credentials_of_another_registry_stay_where_they_are(registry: Registry) -> None:
    registry.answers[MANIFEST] = BASIC
    other = json.dumps({"auths": {"127.0.0.1:1": {"username": "me", "password": "pass:word"}}}).encode()
    unknown(await look(registry, secrets=[other]), "without credentials")
    assert {request.headers.get("Authorization") for request in registry.asked} == {None}


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_no_challenge_of_another_host_gets_credentials(registry: Registry, scheme: str) -> None:
    elsewhere = f"localhost:{registry.port}"
    asks = f'{scheme} realm="https://{elsewhere}/token"'
    registry.answers[MANIFEST] = redirect(f"https://{elsewhere}/elsewhere")
    registry.answers["/elsewhere"] = web.Response(status=401, headers={"WWW-Authenticate": asks})
    registry.answers["/token"] = web.json_response({"token": TOKEN})
    unknown(await look(registry, "a/b:1", elsewhere, secrets=[login(registry)]), "refuses the pull Secrets")
    assert {request.headers.get("Authorization") for request in registry.asked} == {None}
    assert "/token" not in {request.path for request in registry.asked}


async def test_the_registry_may_name_another_host_for_its_tokens(registry: Registry) -> None:
    registry.push("a/b", "1")
    elsewhere = f"localhost:{registry.port}"
    whole, asks = registry.answers[MANIFEST], challenge(realm=f"https://{elsewhere}/token")
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [BASIC, asks, whole]
    registry.answers["/token"] = web.json_response({"token": TOKEN})
    assert (await look(registry, "a/b:1", elsewhere, secrets=[login(registry)])).known
    [asked] = [request for request in registry.asked if request.path == "/token"]
    assert (asked.headers["Host"], asked.headers["Authorization"]) == (elsewhere, LOGIN)


async def test_credentials_follow_no_redirect(registry: Registry) -> None:
    elsewhere = f"localhost:{registry.port}"
    registry.answers[MANIFEST] = [BASIC, BASIC, redirect(f"https://{elsewhere}/elsewhere")]
    registry.answers["/elsewhere"] = web.Response(status=401)
    await look(registry, "a/b:1", elsewhere, secrets=[login(registry)])
    assert [request.headers.get("Authorization") for request in registry.asked[-2:]] == [LOGIN, None]
    registry.answers[MANIFEST] = challenge(realm=f"{registry.url}/token")
    registry.answers["/token"] = redirect(f"https://{elsewhere}/elsewhere")
    await look(registry, "a/b:1", elsewhere, secrets=[login(registry)])
    assert {request.headers.get("Authorization") for request in registry.asked if request.path == "/elsewhere"} == {
        None
    }


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_another_answer_is_told(registry: Registry, status: int) -> None:
    registry.answers[MANIFEST] = web.Response(status=status)
    unknown(await look(registry), f"status {status}")


async def test_only_the_listed_registries_are_asked(registry: Registry) -> None:
    registry.push("a/b", "1")
    answer = await Images(("ghcr.io",), registry.tls).look(Reference.parse(f"{registry.name}/a/b:1"), no_secrets)
    unknown(answer, "image_registries")
    assert registry.asked == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1/", "not plain https"),
        ("file:///etc/passwd", "not plain https"),
        ("https://user:pass@127.0.0.1/", "not plain https"),
        ("https://169.254.169.254/latest/meta-data", "169.254.169.254, which is not on the internet"),
        ("https://127.0.0.1:6443/api", "127.0.0.1, which is not on the internet"),
        ("https://[::1]/", "::1, which is not on the internet"),
        ("https://localhost/", "localhost, which is not on the internet"),
        ("https://a b/", "cannot be reached"),
        (MANIFEST, "redirects too often"),
    ],
)
async def test_a_redirect_leads_neither_into_the_cluster_nor_in_a_circle(
    registry: Registry, location: str, words: str
) -> None:
    registry.answers[MANIFEST] = redirect(location)
    unknown(await look(registry), words)
    registry.answers[MANIFEST] = challenge(realm=location.replace(MANIFEST, registry.url + MANIFEST))
    unknown(await look(registry), words if location != MANIFEST else "without credentials")
    assert set(registry.paths) <= {MANIFEST, f"{MANIFEST}?scope=repository%3Aa%2Fb%3Apull"}


async def test_a_redirect_to_another_listed_registry_is_followed_without_the_token(registry: Registry) -> None:
    registry.push("a/b", "1")
    config = next(path for path in registry.answers if "/blobs/" in path)
    registry.answers["/elsewhere"] = registry.answers[config]
    registry.answers[config] = redirect(f"https://localhost:{registry.port}/elsewhere")
    whole = registry.answers[MANIFEST]
    assert isinstance(whole, web.Response)
    registry.answers[MANIFEST] = [challenge(realm=f"{registry.url}/token"), whole]
    registry.answers["/token"] = web.json_response({"token": TOKEN})
    answer = await look(registry, "a/b:1", f"localhost:{registry.port}")
    assert answer.image.upload_time == TIME
    assert "Authorization" in registry.asked[-2].headers
    assert registry.asked[-1].headers["Host"] == f"localhost:{registry.port}"
    assert "Authorization" not in registry.asked[-1].headers


@pytest.mark.parametrize(("host", "trusted"), [("cdn.test", True), ("another.test", False)])
async def test_a_public_host_is_reached_at_the_address_that_was_checked_and_must_prove_its_name(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    async def checked(name: str, port: int) -> str:
        assert (name, port) == (host, registry.port)
        return "127.0.0.1"

    monkeypatch.setattr(http, "public_address", checked)
    registry.push("a/b", "1")
    config = next(path for path in registry.answers if "/blobs/" in path)
    registry.answers["/elsewhere"] = registry.answers[config]
    registry.answers[config] = redirect(f"https://{host}:{registry.port}/elsewhere")
    answer = await look(registry)
    assert (answer.exists, answer.known) == (True, True)
    # The certificate is for cdn.test, and not for another.test.
    assert answer.image.upload_time == (TIME if trusted else "")
    assert answer.image.image_size_bytes > 1230
    hosts = {request.headers["Host"] for request in registry.asked}
    assert (f"{host}:{registry.port}" in hosts) is trusted


@pytest.mark.parametrize(
    "manifest",
    [
        b"no JSON",
        b"[]",
        b"{}",
        b'{"config": 5}',
        b'{"manifests": [{"digest": "../../../etc", "size": 1}]}',
        b'{"config": {"digest": "sha256:00/../..", "size": 1}}',
        b'{"config": {"digest": "sha256:00", "size": -1}}',
        b'{"manifests": [{"digest": "sha256:00", "size": 1}]}',
    ],
)
async def test_a_manifest_that_is_none_still_is_there(registry: Registry, manifest: bytes) -> None:
    registry.answers[MANIFEST] = web.Response(body=manifest)
    answer = await look(registry)
    assert (answer.exists, answer.known) == (True, True)
    assert (answer.image.upload_time, answer.image.image_size_bytes) == ("", 0)
    assert len(registry.asked) <= 2


@pytest.mark.parametrize("created", [None, 5, "yesterday", {}])
async def test_a_time_that_is_none_is_left_out(registry: Registry, created: object) -> None:
    registry.push("a/b", "1", created)
    answer = await look(registry)
    assert answer.image.upload_time == ""
    assert answer.image.image_size_bytes > 1230


async def test_an_answer_without_end_is_broken_off(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MAXIMUM_BYTES", 1000)
    registry.answers[MANIFEST] = web.Response(body=b"x" * 1001)
    unknown(await look(registry), "more than 1000 bytes")


async def test_a_registry_that_takes_its_time_is_not_waited_for(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_SECONDS", 0.3)
    registry.slow = True
    async with asyncio.timeout(5):
        unknown(await look(registry), "in time")


async def test_a_registry_that_cannot_be_reached_or_proves_nothing(registry: Registry) -> None:
    wanted: Mapping[str, Images] = {
        "127.0.0.1:1": Images(("127.0.0.1:1",), registry.tls),
        registry.name: Images((registry.name,)),  # knows nothing of the test's certificate authority
    }
    for name, asked in wanted.items():
        unknown(await asked.look(Reference.parse(f"{name}/a/b:1"), no_secrets), "cannot be reached")
    assert registry.asked == []


async def test_docker_hub_has_another_host_for_its_api(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    monkeypatch.setattr(images, "_API_HOSTS", {"docker.io": registry.name})
    registry.push("library/python", "3.13")
    answer = await Images(("docker.io",), registry.tls).look(Reference.parse("python:3.13"), no_secrets)
    assert (answer.known, answer.detail) == (True, "docker.io has the image.")
