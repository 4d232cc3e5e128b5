# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""What a client does with a conversation, while its agent works and afterwards."""

import threading
import time
from typing import Any

from openhands.sdk import RemoteConversation
from openhands.sdk.event import ActionEvent
from openhands.tools.preset.default import get_default_agent

from cluster.scripts import bash, say, script
from cluster.sdk_scenarios.session import Session, keep, seen, status


def fork(session: Session) -> dict[str, Any]:
    """A fork has the history, and a life of its own. It has no key of its model until it is given one."""
    source = session.converse(bash("echo first"), say("Done."))
    forked = keep(source.fork(title="Another way", tags={"purpose": "trial"}))
    begins_with = seen(forked)
    llm = session.llm().model_dump(mode="json", context={"expose_secrets": True})
    session.workspace.client.post(f"/api/conversations/{forked.id}/switch_llm", json={"llm": llm}).raise_for_status()
    session.play(forked, bash("echo second"), say("Done."))
    return {"begins_with": begins_with, "fork": seen(forked), "source": seen(source), "status": status(forked)}


def message_in_mid_run(session: Session) -> dict[str, Any]:
    """A message that comes while a command runs is what the agent does next."""
    conversation = session.converse()
    begin(conversation, script(bash("sleep 1; echo begun"), bash("echo never"), say("Never.")))
    conversation.send_message(script(bash("echo asked for in between"), say("Done.")))
    return {"status": _end(conversation), "seen": seen(conversation)}


def pause_in_mid_run(session: Session) -> dict[str, Any]:
    conversation = session.converse()
    begin(conversation, script(bash("sleep 1; echo begun"), bash("echo gone on"), say("Done.")))
    conversation.pause()
    paused = _end(conversation), seen(conversation)
    conversation.run(timeout=300)
    return {"paused": paused, "status": status(conversation), "seen": seen(conversation)}


def interrupt(session: Session) -> dict[str, Any]:
    conversation = session.converse()
    begin(conversation, script(bash("sleep 300"), say("Done.")))
    conversation.interrupt()
    return {"status": _end(conversation)}


def deltas(session: Session) -> dict[str, Any]:
    """The words of the model one by one, as they come."""
    words: list[str] = []
    agent = get_default_agent(llm=session.llm(stream=True), cli_mode=True)
    session.converse(
        say("One after the other."),
        agent=agent,
        token_callbacks=[lambda chunk: words.append(chunk.choices[0].delta.content)],
    )
    return {"words": words}


def attached_again(session: Session) -> dict[str, Any]:
    """Another client finds the sandbox by its session id, and in it the conversation by its id."""
    first = session.converse(bash("echo kept"), say("Done."))
    other = session.open(session_id=session.workspace.session_id, keep_alive=True)
    again = keep(RemoteConversation.attach(other.workspace, first.id, visualizer=None))
    other.play(again, bash("echo gone on"), say("Done."))
    return {
        "same": [getattr(other.workspace, name) == getattr(session.workspace, name) for name in ("host", "api_key")],
        "seen": seen(again),
        "title": session.workspace.client.get(f"/api/conversations/{first.id}").json()["title"],
    }


def gateway_killed(session: Session) -> dict[str, Any]:
    """A blocking run outlives the gateway that it goes through."""
    conversation = session.converse()
    conversation.send_message(script(bash("sleep 8; echo survived"), say("Done.")))
    run = threading.Thread(target=conversation.run, kwargs={"timeout": 300})
    run.start()
    _await_action(conversation)
    session.ask("kill the gateway")
    run.join()
    page = session.workspace.client.get(f"/api/conversations/{conversation.id}/events/search?limit=100").json()
    known = {event.id for event in conversation.state.events}
    return {
        "status": status(conversation),
        "seen": seen(conversation),
        "missed": [event["kind"] for event in page["items"] if event["id"] not in known],
    }


def begin(conversation: RemoteConversation, task: str) -> None:
    """Run this task until its first command runs."""
    conversation.send_message(task)
    conversation.run(blocking=False)
    _await_action(conversation)


def _await_action(conversation: RemoteConversation) -> None:
    while not any(isinstance(event, ActionEvent) for event in conversation.state.events):
        time.sleep(0.05)


def _end(conversation: RemoteConversation) -> str:
    while (now := status(conversation)) == "running":
        time.sleep(0.1)
    return now
