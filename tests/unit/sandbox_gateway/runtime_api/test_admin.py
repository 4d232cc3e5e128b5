"""What the permission `admin` of an API key widens, and what stays per owner."""

from typing import Any

import pytest

from sandbox_common.api_keys import Policy
from sandbox_gateway.contract.addresses import Addresses
from unit.sandbox_gateway.support import FixedApiKeys, ScriptedService, refusal, runtime_api, sandbox

BODY = {"runtime_id": "sb-a"}
WIDENED = [("GET", "/list"), ("GET", "/explain/sb-a"), ("GET", "/history/sb-a"), ("POST", "/pause"), ("POST", "/stop")]
KEPT = [("GET", "/sessions/s"), ("GET", "/sessions/batch?ids=s"), ("GET", "/runtime/sb-a"), ("POST", "/resume")]


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FixedApiKeys, "policy", Policy(admin=True))


async def reached(method: str, path: str) -> list[str | None]:
    service = ScriptedService()
    async with runtime_api(service) as http:
        json: Any = BODY if method == "POST" else None
        assert (await http.request(method, path, json=json)).status_code == 200
    return service.reached


@pytest.mark.parametrize(("method", "path"), WIDENED)
@pytest.mark.usefixtures("admin")
async def test_an_administrator_reaches_all_owners(method: str, path: str) -> None:
    assert await reached(method, path) == [None]


@pytest.mark.parametrize(("method", "path"), KEPT)
@pytest.mark.usefixtures("admin")
async def test_elsewhere_an_administrator_is_an_owner_like_any_other(method: str, path: str) -> None:
    assert await reached(method, path) == ["alice"]


@pytest.mark.parametrize(("method", "path"), WIDENED + KEPT)
async def test_without_the_permission_nobody_reaches_others(method: str, path: str) -> None:
    assert await reached(method, path) == ["alice"]


@pytest.mark.usefixtures("admin")
async def test_an_administrator_chooses_an_owner() -> None:
    assert await reached("GET", "/list?owner=bob") == ["bob"]
    assert await reached("GET", "/list?owner=alice") == ["alice"]


async def test_others_can_choose_but_themselves() -> None:
    assert await reached("GET", "/list?owner=alice") == ["alice"]
    async with runtime_api(ScriptedService()) as http:
        assert "permission admin" in refusal(await http.get("/list?owner=bob"), 403)
        assert refusal(await http.get("/list?owner="), 422).startswith("owner: ")


@pytest.mark.parametrize(("method", "path"), [("GET", "/list"), ("POST", "/pause")])
@pytest.mark.usefixtures("admin")
async def test_what_opens_anothers_sandbox_is_never_told(method: str, path: str) -> None:
    service = ScriptedService()
    answers: dict[str, dict[str, Any]] = {}
    for owner in ("alice", "bob"):
        service.found = sandbox(spec={"owner": owner, "warmStart": "Never"})
        async with runtime_api(service, Addresses("sandboxes.test")) as http:
            found = (await http.request(method, path, json=BODY)).json()
        answers[owner] = found["runtimes"][0] if "runtimes" in found else found
    assert answers["alice"]["session_api_key"]
    assert answers["alice"]["work_hosts"]
    assert answers["bob"] == {**answers["alice"], "owner": "bob", "session_api_key": "", "work_hosts": {}}


async def test_limits_and_pools_of_another_owner_are_for_administrators(monkeypatch: pytest.MonkeyPatch) -> None:
    async with runtime_api(ScriptedService()) as http:
        assert (await http.get("/limits")).json()["owner"] == "alice"
        for path in ("/limits?owner=bob", "/pools?owner=bob"):
            assert "permission admin" in refusal(await http.get(path), 403)
        assert [pool["name"] for pool in (await http.get("/pools")).json()["pools"]] == ["a-pool"]
        monkeypatch.setattr(FixedApiKeys, "policy", Policy(admin=True))
        found = (await http.get("/limits?owner=bob")).json()
        assert found == {
            "owner": "bob",
            "limits": {"running": 5},
            "used": {"running": 0, "sandboxes": 0},
            "left": {"running": 5},
            "queued": 0,
        }
        assert (await http.get("/limits")).json()["owner"] == "alice"
        assert (await http.get("/pools?owner=bob")).status_code == 200
