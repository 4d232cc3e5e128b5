# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""A sandbox with a volume that is paused while its agent works, and resumed."""

import time
from typing import Any

from cluster.scripts import bash, say, script
from cluster.sdk_scenarios import git
from cluster.sdk_scenarios.conversations import begin
from cluster.sdk_scenarios.session import Session, seen, status


def in_mid_run(session: Session) -> dict[str, Any]:
    """The turn waits for the next `run`, and the same object goes on with the same conversation."""
    conversation = session.converse()
    # Should it be run again, it does not wait again.
    slow = bash("if [ ! -e begun ]; then touch begun; sleep 8; fi")
    begin(conversation, script(slow, bash("echo gone on"), say("Done.")))
    session.workspace.pause()
    # A resume that follows at once would find the pod as it was.
    session.ask("await the pause")
    session.workspace.resume()
    interrupted = status(conversation)
    conversation.run(timeout=300)
    # The state that a new WebSocket begins with is that of the turn before, and ends `run` early if it comes late.
    give_up = time.monotonic() + 60
    while status(conversation) != "finished" and time.monotonic() < give_up:
        time.sleep(0.2)
    conversation.state.events.reconcile()
    session.run("rm begun")
    return {"interrupted": interrupted, "status": status(conversation), "last": seen(conversation)[-1]} | git.read(
        session
    )
