"""A9: GET /runtime/{runtime_id}, the poll of the V0 client."""

import uuid

from conformance.api import RuntimeApi, text_of
from conformance.contract import Client, recommended, required
from conformance.sandbox import Sandbox


@required(Client.V0)
def test_runtime_tells_its_state(api: RuntimeApi, sandbox: Sandbox) -> None:
    """V0 `_wait_until_alive`: asserts that runtime_id is the one it asked for and pod_status is there."""
    seen = api.get(f"/runtime/{sandbox.runtime_id}").fields
    assert seen.get("runtime_id") == sandbox.runtime_id
    assert text_of(seen, "pod_status").lower() == "ready"
    assert isinstance(seen.get("restart_count", 0), int)


@recommended(Client.V0)
def test_unknown_runtime_is_404(api: RuntimeApi) -> None:
    """V0: any error ends the start; 404 is the one that says why."""
    answer = api.get(f"/runtime/unknown-{uuid.uuid4().hex}")
    assert answer.status == 404, answer


@required(Client.V0)
def test_another_owner_sees_no_runtime(other_api: RuntimeApi, sandbox: Sandbox) -> None:
    """V0: takes what it finds for its own."""
    answer = other_api.get(f"/runtime/{sandbox.runtime_id}")
    assert answer.status == 404, answer
