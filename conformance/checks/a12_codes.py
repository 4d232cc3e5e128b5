"""A12: status codes. Most of them are tested where they occur; these are about all exchanges of the run."""

import uuid

import pytest

from conformance.api import Exchange, RuntimeApi, as_object, text_of
from conformance.contract import Client, recommended, required
from conformance.sandbox import probe
from conformance.target import Secrets, Target


@required(Client.SDK, Client.APP, Client.V0)
@pytest.mark.parametrize("api_key", ["", "wrong-" + uuid.uuid4().hex], ids=["missing", "wrong"])
def test_no_entry_without_a_good_key(target: Target, secrets: Secrets, api_key: str) -> None:
    """All clients send X-API-Key, and nothing else keeps others away from their session keys."""
    with RuntimeApi(target.url, api_key, secrets) as stranger:
        session, listed = stranger.get("/sessions/any"), stranger.get("/list")
    assert session.status in {401, 403}, session
    assert listed.status in {401, 403, 404}, listed


@required(Client.SDK)
def test_nothing_is_redirected(everything: list[Exchange]) -> None:
    """SDK: follows no redirect; a 3xx raises."""
    for exchange in everything:
        assert not 300 <= exchange.status < 400, exchange


@required(Client.SDK, Client.APP)
def test_no_server_error(everything: list[Exchange]) -> None:
    """SDK and app: retry no control call; a single 5xx ends what they were doing."""
    for exchange in everything:
        assert exchange.status < 500, exchange


@required(Client.SDK, Client.APP)
def test_no_call_is_put_off(everything: list[Exchange]) -> None:
    """SDK and app: retry no control call and read no Retry-After; a start must queue rather than be answered 429."""
    for exchange in everything:
        assert exchange.status != 429, exchange


@recommended(Client.V0)
def test_errors_are_json_objects_with_detail(everything: list[Exchange]) -> None:
    """V0 `request.py`: calls .get("detail") on the JSON of an error."""
    for exchange in everything:
        if exchange.status >= 400:
            text_of(as_object(exchange.body, str(exchange)), "detail")


@recommended(Client.SDK, Client.V0)
@pytest.mark.parametrize("path", ["/start", "/pause", "/resume", "/stop"])
def test_bad_bodies_are_the_clients_fault(api: RuntimeApi, path: str) -> None:
    """A 5xx would look like a passing failure of the server."""
    for body in (b"", b"{", b"[]", b'"text"', b"null", b'{"runtime_id": 1}', b"\xff"):
        answer = api.post(path, content=body)
        assert 400 <= answer.status < 500, (body, str(answer))


@recommended(Client.V0)
def test_unknown_paths_are_404(api: RuntimeApi) -> None:
    """Other servers may have further endpoints; one that is not there must say so."""
    answer = api.get(f"/sessions-{uuid.uuid4().hex}")
    assert answer.status in {401, 404}, answer


@recommended()
def test_server_tells_that_it_is_alive(target: Target) -> None:
    """The hosted chart's probes: GET /health without a key."""
    answer = probe(f"{target.url}/health")
    assert answer.is_success, answer
