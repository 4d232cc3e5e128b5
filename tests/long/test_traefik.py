"""Traefik, a real ingress controller, in front of releases whose Ingress and HTTPRoute are those of the chart.

Its static configuration is that of docs/tls-and-ingress.md. Clients are outside of the cluster.
"""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from cluster.runtime import Runtime
from cluster.site import installed
from cluster.support import NAMESPACE, eventually
from demo.commands import follow
from demo.local_target import LocalTarget
from demo.outside import settings
from demo.release import NAME
from demo.targets import Images
from demo.workloads import EXAMPLE, SDK_PYTHON, scripted_model
from local_cluster.network import HOST_ADDRESS, NODE_ADDRESS
from local_cluster.pki import Identity, Pki
from local_cluster.progress import Progress
from long import traefik
from long.lasting_requests import MIB, cut, long_upload, silent_command, silent_request, silent_websocket, slow_download
from long.street import DOMAIN, Street
from long.traefik import Traefik

PROGRAM = Path(__file__).with_name("served_streams.py")
HOST = "runtime.example.com"
HEADER_HOST = "headers.example.com"
LARGE = 1024 * MIB
FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "forged.example",
    "X-Real-IP": "203.0.113.9",
}
ENTRANCES = ("websecure", "gateway")
"""By the Ingress, and by the HTTPRoute."""
DEFAULTS = "defaults"
"""By the Ingress, where Traefik has its own times."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A certificate for each Secret."""
    pki = Pki(tmp_path_factory.mktemp("traefik") / "pki")
    pki.create(
        [
            Identity("runtime", "runtime", hosts=(HOST, HEADER_HOST)),
            Identity("boxes", "boxes", hosts=(f"*.{DOMAIN}",)),
            Identity("both", "both", hosts=(HOST, f"*.{DOMAIN}")),
        ]
    )
    return pki


def secret(target: LocalTarget, namespace: str, name: str, pki: Pki, certificate: str) -> None:
    """Store a certificate where Ingress or Gateway expect it."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {
            "tls.crt": pki.certificate(certificate).read_text(),
            "tls.key": pki.key(certificate).read_text(),
        },
    }
    target.kubectl("apply", "--filename", "-", stdin=json.dumps(body))


@pytest.fixture(scope="module")
def edge(target: LocalTarget, progress: Progress, pki: Pki) -> Iterator[Traefik]:
    with traefik.serving(target, f"{NAMESPACE}-traefik", progress) as serving:
        secret(target, serving.namespace, traefik.CERTIFICATE, pki, "both")
        yield serving


@pytest.fixture(scope="module")
def street(target: LocalTarget, images: Images, progress: Progress, edge: Traefik, pki: Pki) -> Iterator[Street]:
    ingress = {
        "enabled": True,
        "className": traefik.INGRESS_CLASS,
        "hosts": [HOST],
        "tls": {"secretName": "runtime-tls", "wildcardSecretName": "boxes-tls"},
    }
    route = {
        "enabled": True,
        "parentRefs": [{"name": traefik.GATEWAY, "namespace": edge.namespace, "sectionName": "https"}],
        "hostnames": [HOST],
    }
    with installed(
        target,
        images,
        progress,
        f"{NAMESPACE}-host",
        entrances={"ingress": ingress, "httpRoute": route},
        baseDomain=DOMAIN,
        publicURL=f"https://{HOST}",
        trustedProxies=[f"{edge.address}/32"],
        accessLog="all",
        replicas=2,
    ) as site:
        secret(target, site.release.namespace, "runtime-tls", pki, "runtime")
        secret(target, site.release.namespace, "boxes-tls", pki, "boxes")
        with Runtime(site, images.agent_server) as runtime:
            runtime.await_ready()
            runtime.run("true")
            uploaded = runtime.agent.post(
                "/api/file/upload", params={"path": "/workspace/streams.py"}, files={"file": PROGRAM.read_bytes()}
            )
            assert uploaded.status_code == 200, uploaded.text
            runtime.run(f"nohup {SDK_PYTHON} streams.py 12000 > streams.log 2>&1 < /dev/null &")
            found = Street(site, edge, runtime, pki)
            for entrance in ENTRANCES:
                eventually(lambda entrance=entrance: answers(found, entrance), bool)
            yield found


def answers(street: Street, entrance: str) -> bool:
    """Whether Traefik knows the release, its certificates and its sandbox by now."""
    try:
        with street.client(street.work, entrance) as http, street.client(HOST, entrance) as api:
            return http.get("/seen").is_success and api.get("/health").is_success
    except httpx.TransportError:
        return False


def test_the_unmodified_sdk_in_header_mode(
    target: LocalTarget, images: Images, progress: Progress, edge: Traefik, pki: Pki, sdk: Path, tmp_path: Path
) -> None:
    url = f"https://{HEADER_HOST}:{edge.ports['websecure']}"
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{NODE_ADDRESS} {HEADER_HOST}\n")
    with installed(
        target,
        images,
        progress,
        f"{NAMESPACE}-header",
        entrances={
            "ingress": {
                "enabled": True,
                "className": traefik.INGRESS_CLASS,
                "hosts": [HEADER_HOST],
                "tls": {"secretName": "runtime-tls"},
            }
        },
        publicURL=url,
        trustedProxies=[f"{edge.address}/32"],
    ) as site:
        secret(target, site.release.namespace, "runtime-tls", pki, "runtime")
        named = ["unshare", "--mount", "--", "sh", "-ec", 'mount --bind "$1" /etc/hosts; shift; exec "$@"', "sh"]
        environment = settings(site.release, url, scripted_model(site.release.namespace))
        code, transcript = follow(
            [*named, str(hosts), str(sdk), str(EXAMPLE), "--json"],
            env={**environment, "SSL_CERT_FILE": str(pki.ca)},
        )
        assert code == 0, transcript
        assert url in transcript, "in header mode the sandbox's address is the gateway's own"
        counted = json.loads(transcript.strip().splitlines()[-1])
        assert counted["events_over_websocket"] == counted["events"] > 0


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_host_with_its_certificate(street: Street, entrance: str) -> None:
    key = street.runtime.identity[2]
    assert street.runtime.identity[1] == f"https://{street.box}"
    api_key = street.site.release.api_key()
    with street.client(HOST, entrance) as http:
        assert http.get("/list").status_code == 401
        listed = http.get("/list", headers={"X-API-Key": api_key})
        assert street.runtime.id in listed.text
        # Header mode works at this host, too.
        assert http.get("/api/conversations/count", headers={"X-Session-API-Key": key}).status_code == 200
    with street.client(street.box, entrance) as http:
        assert http.get("/api/conversations/count").status_code == 401
        assert http.get("/api/conversations/count", headers={"X-Session-API-Key": key}).status_code == 200
    with street.client(street.work, entrance) as http:
        assert http.get("/seen").is_success
    with street.client("other.example.org", entrance) as http, pytest.raises(httpx.ConnectError, match="certificate"):
        http.get("/list")


async def handshake(street: Street, entrance: str) -> dict[str, str]:
    """The fields that come with a WebSocket."""
    async with street.websocket(street.work, "/echo", entrance, **FORGED) as websocket:
        return json.loads(await websocket.recv())


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_the_clients_address_scheme_and_host(street: Street, entrance: str) -> None:
    expected = {
        "host": street.work,
        "x-forwarded-for": HOST_ADDRESS,
        "x-forwarded-proto": "https",
        "x-forwarded-host": street.work,
    }
    with street.client(street.work, entrance) as http:
        fields = dict(http.get("/seen", headers=FORGED).json()["fields"])
    for seen in (fields, asyncio.run(handshake(street, entrance))):
        assert {name: seen.get(name) for name in expected} == expected
        assert "x-real-ip" not in seen

    def refusals() -> list[str]:
        """Addresses of the clients that the gateway has refused."""
        text = street.site.kubectl("logs", "--selector=app.kubernetes.io/component=gateway", "--tail=-1")
        lines = [json.loads(line) for line in text.splitlines()]
        return [line["client_ip"] for line in lines if line["event"] == "request" and line["status"] == 401]

    before = len(refusals())
    name = f"logged-{time.time_ns()}"
    with street.client(HOST, entrance) as http:
        refused = http.get(
            f"/api/{name}", headers={"X-Session-API-Key": "no-key", **FORGED}, params={"tkn": "of-a-client"}
        )
    assert refused.status_code == 401
    after = eventually(refusals, lambda found: len(found) > before)
    assert set(after) == {HOST_ADDRESS}
    log = eventually(street.traefik.log, lambda log: name in log)
    assert "of-a-client" not in log


@pytest.mark.parametrize(
    "path", ["/seen/a%2Fb/%25/%3B%3F", "/seen/a;b=c", "/seen/caf%C3%A9%20x", "/seen/a+b:@!$&'()*,"]
)
def test_paths_arrive_as_they_were_sent(street: Street, path: str) -> None:
    with street.client(street.work) as http:
        assert http.get(path).json()["target"] == path


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_large_bodies_stream_and_wait_for_the_slower_side(street: Street, entrance: str) -> None:
    before, highest, sent = street.traefik.resident, 0, 0
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        nonlocal highest, sent
        block = bytes(range(256)) * (MIB // 256)
        for _ in range(LARGE // MIB):
            digest.update(block)
            sent += len(block)
            if sent % (64 * MIB) == 0:
                highest = max(highest, street.traefik.resident)
            yield block

    with street.client(street.work, entrance) as http:
        taken = http.post("/up", content=blocks()).json()
        assert taken == {"size": LARGE, "sha256": digest.hexdigest()}
        with http.stream("GET", "/down", params={"mib": LARGE // MIB}) as response:
            received = 0
            for data in response.iter_raw():
                if not received:
                    time.sleep(3)  # it waits for the client
                    highest = max(highest, street.traefik.resident)
                received += len(data)
            assert received == LARGE
    highest = max(highest, street.traefik.resident)
    assert highest - before < 64 * MIB, (before, highest)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/octet-stream"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_each_event_comes_when_it_happens(street: Street, entrance: str, kind: str) -> None:
    with (
        street.client(street.work, entrance) as http,
        street.client(street.work, entrance) as other,
        http.stream("GET", "/events", params={"type": kind}) as response,
    ):
        events = response.iter_raw()
        for number in range(3):
            assert next(events) == f"data: {number}\n\n".encode()
            assert other.post("/event").is_success
        assert list(events) == []


def test_what_takes_longer_than_traefiks_own_times(street: Street) -> None:
    """With the documentation's configuration all of it works. By default, Traefik cuts long uploads."""
    attempts = (long_upload, silent_request, silent_command, slow_download)
    entrances = (*ENTRANCES, DEFAULTS)
    with ThreadPoolExecutor(2 * len(attempts) * len(entrances) + len(entrances)) as pool:
        runs = {
            (attempt, entrance, http2): pool.submit(cut, attempt, street, entrance, http2=http2)
            for attempt in attempts
            for entrance in entrances
            for http2 in (False, True)
        }
        websockets = [pool.submit(cut, silent_websocket, street, entrance) for entrance in entrances]
        failed = {key: why for key, run in runs.items() if (why := run.result())}
        assert [one.result() for one in websockets] == ["", "", ""]
    assert set(failed) == {(long_upload, DEFAULTS, http2) for http2 in (False, True)}, failed


async def close_codes(street: Street, entrance: str, opened: threading.Event) -> list[int | None]:
    """The codes with which the other side closes eight WebSockets. The last act is to connect again."""
    fields = {"X-Session-API-Key": street.runtime.identity[2]}
    async with AsyncExitStack() as stack:
        ways = [street.websocket(street.box, "/sockets/bash-events", entrance, **fields) for _ in range(9)]
        websockets = [await stack.enter_async_context(way) for way in ways[1:]]
        opened.set()
        for websocket in websockets:
            await websocket.wait_closed()
        again = await stack.enter_async_context(ways[0])
        await (await again.ping())
        return [websocket.close_code for websocket in websockets]


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_new_gateway_closes_websockets_with_1012_and_fails_no_request(street: Street, entrance: str) -> None:
    headers = {"X-Session-API-Key": street.runtime.identity[2]}
    deployment, opened = f"deployment/{NAME}-gateway", threading.Event()
    failed: list[str] = []
    asked = 0
    with ThreadPoolExecutor(2) as pool, street.client(street.box, entrance) as http:
        codes = pool.submit(asyncio.run, close_codes(street, entrance, opened))
        assert opened.wait(60)
        street.site.kubectl("rollout", "restart", deployment)
        rollout = pool.submit(street.site.kubectl, "rollout", "status", deployment, "--timeout=180s")
        while not (rollout.done() and codes.done()):
            asked += 1
            if why := cut(lambda: http.get("/server_info", headers=headers).raise_for_status()):
                failed.append(why)
            time.sleep(0.02)
        rollout.result()
        assert set(codes.result()) == {1012}
    assert failed == []
    assert asked > 100
