# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""A repository in the SDK's default working directory, by the agent and by the workspace's own calls."""

from typing import Any

from cluster.scripts import bash, say
from cluster.sdk_scenarios.session import Session, seen

COMMIT = (
    "git init -q . && git symbolic-ref HEAD refs/heads/main"
    " && git config user.name Agent && git config user.email agent@localhost"
    " && printf 'one\\n' > tides.txt && git add -A && git commit -qm 'Begin' && git ls-files"
)


def by_the_agent(session: Session) -> dict[str, Any]:
    conversation = session.converse(bash(COMMIT), bash("git log --format=%s; git status --porcelain"), say("Done."))
    return {"seen": seen(conversation)}


def changes(session: Session) -> dict[str, Any]:
    """What the workspace's own calls say about a changed file and a new one."""
    workspace = session.workspace
    session.run("printf 'two\\n' >> tides.txt; echo new > notes.txt")
    return read(session) | {"diff": workspace.git_diff(f"{workspace.working_dir}/tides.txt").model_dump()}


def read(session: Session) -> dict[str, Any]:
    found = session.workspace.git_changes(session.workspace.working_dir)
    return {
        "changes": sorted([str(change.path), change.status.value] for change in found),
        "log": session.run("git log --format=%s"),
    }
