"""A8: GET /list."""

from typing import Any

from conformance.api import RuntimeApi, as_list, as_object, text_of
from conformance.contract import Client, recommended, required
from conformance.sandbox import Sandbox


def listed(api: RuntimeApi) -> dict[str, dict[str, Any]]:
    """The entries by their session id."""
    entries = as_list(api.get("/list").fields.get("runtimes"), "runtimes")
    return {text_of(entry, "session_id"): entry for entry in (as_object(entry, "an entry") for entry in entries)}


@required(Client.APP, Client.SAAS)
def test_running_ones_are_listed(api: RuntimeApi, sandbox: Sandbox, second: Sandbox) -> None:
    """app `pause_old_sandboxes`, `poll_agent_servers`; SaaS: session_id, runtime_id, status, url, session_api_key."""
    found = listed(api)
    for known in (sandbox, second):
        entry = found[known.session_id]
        assert entry.get("runtime_id") == known.runtime_id
        assert entry.get("status") == "running"
        assert entry.get("url") == known.url
        assert entry.get("session_api_key") == known.session_api_key


@recommended(Client.V0)
def test_total_counts_them(api: RuntimeApi, sandbox: Sandbox) -> None:
    """`cleanup_remote_runtime.sh` of the evaluation: reads total before it stops them all."""
    answer = api.get("/list").fields
    assert sandbox
    assert answer.get("total") == len(as_list(answer.get("runtimes"), "runtimes"))


@required(Client.APP)
def test_paused_ones_are_not_listed(api: RuntimeApi, paused: Sandbox) -> None:
    """app `pause_old_sandboxes`: takes all that is listed for running, and counts it against the user's limit."""
    assert paused.session_id not in set(listed(api))


@required(Client.APP, Client.SAAS)
def test_stopped_ones_are_not_listed(api: RuntimeApi, stopped: Sandbox) -> None:
    """app, SaaS: as above."""
    assert stopped.session_id not in set(listed(api))


@required(Client.APP, Client.SAAS)
def test_another_owner_sees_none(other_api: RuntimeApi, sandbox: Sandbox) -> None:
    """app, SaaS: take all that is listed for their own, with the session keys in it."""
    assert sandbox.session_id not in set(listed(other_api))
