"""`kubectl ohsb list`, `explain`, `pause`, `resume` and `stop` on the real API server."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import yaml

from control_plane.gateway.support import Operator, Replica, answer
from control_plane.gateway.test_explain import happen
from control_plane.kubectl_ohsb.support import Done, Shell, add_class, add_sandbox
from control_plane.waiting import eventually
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e<script>alert(1)</script>"
LOG = "ValueError: boom\n\tat line 1"


async def _operated(
    done: Awaitable[Done], look: Callable[[], Awaitable[object]], then: Callable[[], Awaitable[object]]
) -> Done:
    """The result of a command; once `look` is true, the operator does `then`."""

    async def operate() -> None:
        await eventually(look)
        await then()

    result, _ = await asyncio.gather(done, operate())
    return result


async def test_explain_prints_what_the_gateway_answers(
    gateway: Replica, shell: Shell, operator: Operator, client: KubeClient
) -> None:
    name = (await gateway.start(f"s\u00e9ance-{'x' * 200}"))["runtime_id"]
    words = "The agent server ended with exit code 1"
    sandbox = await operator.report(
        Reason.CRASH_LOOP_BACK_OFF, f"{words}: {LOG}. Remedy: Read the log.", log=LOG, remedy="Read the log."
    )
    await happen(client, sandbox, "Pod", f"Back-off {HOSTILE}")
    answered = answer(await gateway.http.get(f"/explain/{name}"))
    assert (await shell.ohsb("explain", name, "-o", "json")).json == answered
    as_yaml = await shell.ohsb("explain", name, "-o", "yaml")
    assert yaml.safe_load(as_yaml.out) == answered
    page = (await shell.ohsb("explain", name)).out
    for text in (f"Cause:\n  {words}.", "Remedy:\n  Read the log.", "ValueError: boom", "at line 1", "Back-off"):
        assert text in page
    assert all(line.isprintable() for line in page.splitlines())


async def test_a_sandbox_that_waits_in_the_queue_has_its_place(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    for place, name in enumerate(("sb-a", "sb-b", "sb-of-another")):
        await add_sandbox(client, namespace, name, "other" if place == 2 else "team")
        await operator.report(Reason.QUEUED, "No room.", name=name, ago=60 - place)
    assert (await shell.ohsb("explain", "sb-b", "-o", "json")).json["cause"] == "Place 2 of 2 in the queue. No room."


async def test_what_there_is_not_is_refused_with_the_next_step(shell: Shell) -> None:
    for command in ("explain", "pause", "resume", "stop"):
        refused = await shell.ohsb(command, "absent")
        assert (refused.code, refused.out) == (1, ""), command
        assert "there is no sandbox absent in namespace" in refused.err
        assert "kubectl ohsb list" in refused.err


async def test_a_list_has_states_filters_and_an_order(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    assert "There is no sandbox" in (await shell.ohsb("list")).err
    await add_sandbox(client, namespace, "sb-new", "team-a")
    await add_sandbox(client, namespace, "sb-up", "team-a", sessionID=f"session {HOSTILE}", className="big")
    await operator.report(Reason.READY, name="sb-up", pool="warm")
    await add_sandbox(client, namespace, "sb-idle", "team-b", suspend=True, suspendReason="Idle")
    await operator.report(Reason.IDLE, name="sb-idle", ago=7200)
    await add_sandbox(client, namespace, "sb-bad")
    await operator.report(Reason.IMAGE_NOT_FOUND, "no such image", name="sb-bad")
    await add_sandbox(client, namespace, "sb-odd")
    await operator.report(Reason.UNSCHEDULABLE, name="sb-odd", startingSince="yesterday")

    table = (await shell.ohsb("list")).out
    assert all(line.isprintable() for line in table.splitlines())
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert list(rows) == ["NAME", "sb-bad", "sb-idle", "sb-new", "sb-odd", "sb-up"]
    assert "error   ImageNotFound" in " ".join(rows["sb-bad"].split()).replace("error ", "error   ")
    assert "2h" in rows["sb-idle"]
    assert "unreadable" in rows["sb-odd"]
    assert rows["sb-up"].endswith("warm")

    async def names(*arguments: str) -> list[str]:
        return [item["name"] for item in (await shell.ohsb("list", "-o", "json", *arguments)).json["items"]]

    assert await names("--owner", "team-a", "--owner", "") == ["sb-bad", "sb-new", "sb-odd", "sb-up"]
    assert await names("--state", "starting", "--state", "paused") == ["sb-idle", "sb-new"]
    assert await names("--reason", "imagenotfound") == ["sb-bad"]
    assert await names("--class", "big", "--session", f"session {HOSTILE}") == ["sb-up"]
    assert (await names("--sort", "idle"))[0] == "sb-idle"
    limited = await shell.ohsb("list", "--limit", "2")
    assert len(limited.out.splitlines()) == 3
    assert "3 more" in limited.err


async def test_a_long_list_is_read_in_pages(shell: Shell, client: KubeClient, namespace: str) -> None:
    names = [f"sb-{number:03}" for number in range(260)]
    await asyncio.gather(*(add_sandbox(client, namespace, name) for name in names))
    found = (await shell.ohsb("list", "-o", "json")).json
    assert [item["name"] for item in found["items"]] == names
    assert found["total"] == 260


async def test_pause_waits_until_the_pod_is_gone_and_resume_until_it_is_ready(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace, workspace={"persistent": True})
    await add_sandbox(client, namespace, "sb-a", "team")
    await operator.report(Reason.READY, name="sb-a", readyTime="2026-01-02T03:04:05Z", workspaceKept=True)

    async def spec() -> KubeObject:
        return (await client.get(SANDBOXES, namespace, "sb-a"))["spec"]

    async def suspended() -> bool:
        return (await spec()).get("suspend", False)

    async def runs() -> bool:
        return not await suspended()

    async def ends() -> None:
        await operator.report(Reason.SUSPENDING, "The pod ends.", name="sb-a")
        await operator.report(Reason.SUSPENDED, name="sb-a")

    paused = await _operated(shell.ohsb("pause", "sb-a", "-o", "json"), suspended, ends)
    [item] = paused.json["items"]
    assert (item["result"], item["state"], item["reason"]) == ("paused", "paused", "Suspended")
    assert "sb-a: paused, Suspended" in paused.err
    assert (await spec())["suspendReason"] == "Requested"
    assert (await shell.ohsb("pause", "sb-a")).out == "sandbox sb-a already paused\n"

    async def starts() -> None:
        await operator.report(Reason.UNSCHEDULABLE, "No node has room.", name="sb-a")
        await asyncio.sleep(1)
        await operator.report(Reason.READY, name="sb-a")

    resumed = await _operated(shell.ohsb("resume", "sb-a"), runs, starts)
    assert (resumed.code, resumed.out) == (0, "sandbox sb-a resumed\n"), resumed.err
    assert "Unschedulable: No node has room." in resumed.err
    assert (await shell.ohsb("resume", "sb-a")).out == "sandbox sb-a not paused\n"


async def test_an_idle_sandbox_that_is_paused_is_not_woken_by_a_request(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_sandbox(client, namespace, "sb-a", suspend=True, suspendReason="Idle")
    await operator.report(Reason.IDLE, name="sb-a")
    assert (await shell.ohsb("pause", "sb-a", "--no-wait")).out == "sandbox sb-a paused\n"
    assert (await client.get(SANDBOXES, namespace, "sb-a"))["spec"]["suspendReason"] == "Requested"


async def test_a_failed_sandbox_gets_a_new_pod_and_fails_again_with_the_reason(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_sandbox(client, namespace, "sb-a")
    await operator.report(Reason.IMAGE_NOT_FOUND, "no such image", name="sb-a", startTime="2026-01-02T03:04:05Z")

    async def restarted() -> bool:
        return bool((await client.get(SANDBOXES, namespace, "sb-a"))["spec"].get("restartedAt"))

    fails = partial(operator.report, Reason.IMAGE_PULL_DENIED, "Denied. Remedy: Log in.", name="sb-a", remedy="Log in.")
    failed = await _operated(shell.ohsb("resume", "sb-a"), restarted, fails)
    assert (failed.code, failed.out) == (1, "")
    assert "not resumed: sb-a: error, ImagePullDenied: Denied. Remedy: Log in." in failed.err
    assert "kubectl ohsb explain sb-a" in failed.err


async def test_a_wait_ends_with_the_reason_of_the_delay(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_sandbox(client, namespace, "sb-a")
    await operator.report(Reason.UNSCHEDULABLE, f"No node {HOSTILE}", name="sb-a")
    late = await shell.ohsb("resume", "sb-a", "--timeout", "1s")
    assert (late.code, late.out) == (1, "")
    assert "not resumed after 1 s: sb-a: starting, Unschedulable: No node" in late.err
    assert all(line.isprintable() for line in late.err.splitlines())


async def test_a_pause_that_loses_the_workspace_is_refused(
    shell: Shell, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await add_class(client, namespace)
    await add_sandbox(client, namespace, "sb-a")
    await operator.report(Reason.READY, name="sb-a", readyTime="2026-01-02T03:04:05Z", workspaceKept=False)
    await add_sandbox(client, namespace, "sb-b")
    refused = await shell.ohsb("pause", "sb-a", "sb-b", "--no-wait")
    assert (refused.code, refused.out) == (1, "sandbox sb-b paused\n")
    assert "sb-a would lose /workspace" in refused.err
    assert not (await client.get(SANDBOXES, namespace, "sb-a"))["spec"].get("suspend")
    assert (await shell.ohsb("pause", "sb-a", "--no-wait", "--discard-workspace")).code == 0
    assert (await client.get(SANDBOXES, namespace, "sb-a"))["spec"]["suspend"]


async def test_all_of_an_owner_are_stopped_after_a_question(shell: Shell, client: KubeClient, namespace: str) -> None:
    for name, owner in (("sb-a", "team a"), ("sb-b", "team a"), ("sb-c", "team b")):
        await add_sandbox(client, namespace, name, owner)

    async def left() -> set[str]:
        return {item["metadata"]["name"] for item in (await client.list(SANDBOXES, namespace))["items"]}

    command = ("stop", "--all", "--owner", "team a")
    for typed, said in ((None, "give --yes"), ("n\n", "nothing is changed")):
        refused = await shell.ohsb(*command, answer=typed)
        assert (refused.code, refused.out) == (1, "")
        assert "2 sandboxes of owner team a will be stopped: sb-a, sb-b" in refused.err
        assert said in refused.err
        assert len(await left()) == 3
    stopped = await shell.ohsb(*command, answer="y\n")
    assert (stopped.code, stopped.out) == (0, "sandbox sb-a stopped\nsandbox sb-b stopped\n")
    assert await left() == {"sb-c"}
    assert "has no sandbox" in (await shell.ohsb(*command)).err
    assert (await shell.ohsb("stop", "--all", "--owner", "team b", "--yes")).code == 0
    assert await left() == set()


async def test_stop_says_what_keeps_a_sandbox(shell: Shell, client: KubeClient, namespace: str) -> None:
    await add_sandbox(client, namespace, "sb-a")
    keep = {"metadata": {"finalizers": ["test.example/keep"]}}
    await client.patch(SANDBOXES, namespace, "sb-a", keep)
    late = await shell.ohsb("stop", "sb-a", "--timeout", "1s")
    assert (late.code, late.out) == (1, "")
    assert "not stopped after 1 s" in late.err
    refused = await shell.ohsb("resume", "sb-a")
    assert "finalizers" in refused.err
    await client.patch(SANDBOXES, namespace, "sb-a", {"metadata": {"finalizers": None}})


async def test_names_owners_and_classes_are_completed(shell: Shell, client: KubeClient, namespace: str) -> None:
    await add_class(client, namespace, "big")
    await add_sandbox(client, namespace, "sb-a", "team-a")
    name, owner, class_ = await asyncio.gather(
        shell.kubectl("__complete", "ohsb", "explain", "sb-"),
        shell.kubectl("__complete", "ohsb", "list", "--owner", "t"),
        shell.kubectl("__complete", "ohsb", "list", "--class", ""),
    )
    assert name.out.splitlines() == ["sb-a\tstarting, team-a", ":4"]
    assert owner.out.splitlines() == ["team-a", ":4"]
    assert class_.out.splitlines() == ["big", ":4"]
