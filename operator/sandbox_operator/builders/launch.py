"""The command of a sandbox's container: a small shell script that finally executes the agent server.

The script prepares the workspace as the sandbox's user, because the mount belongs to root, and so does what the
container runtime creates in it. It is the same in warm pods. Of the image it needs only /bin/sh.
"""

import posixpath
from collections.abc import Sequence

from sandbox_operator.builders.environment import WORKSPACE

STATE = {
    "OH_CONVERSATIONS_PATH": ("conversations", ("*",)),
    "OH_BASH_EVENTS_DIR": ("bash_events", ("*",)),
    "OH_CONVERSATION_WORKTREE_ROOT": (".worktrees", ("*",)),
    # Repositories have a directory of this name, too, with hooks.json, agents, memory, skills and plugins.
    "OH_PERSISTENCE_DIR": (
        ".openhands",
        (
            "/.gitignore",
            "/.*.lock",
            "/secrets.*",
            "/settings.*",
            "/workspaces.*",
            *(f"/{name}/" for name in ("acp", "agent-profiles", "auth", "cache", "canvas-extensions", "meta-profiles")),
            *(f"/{name}/" for name in ("npm-cache", "plugin-data", "plugins/installed", "profiles")),
            *(f"/{name}/" for name in ("provider-connections", "skills/installed")),
        ),
    ),
}
"""What the agent server keeps in the workspace (openhands_agent_server 1.58.2): the variable that names a directory,
its default below the workspace, and git patterns of the files in it that are not the user's work."""

_IGNORE = "\n".join(
    f'ignore "${variable}" {WORKSPACE}/{name} {" ".join(f"'{pattern}'" for pattern in patterns)}'
    for variable, (name, patterns) in STATE.items()
)

SCRIPT = rf"""OHSB_D=$1
shift
ignore() {{
[ "${{1%/}}" != "$2" ] || [ -s "$2/.gitignore" ] || {{
mkdir -p "$2"
OHSB_F=$2/.gitignore
shift 2
printf '%s\n' "$@" >"$OHSB_F"
}} 2>/dev/null
}}
{_IGNORE}
OHSB_N=${{GIT_CONFIG_COUNT:-0}}
case $OHSB_N in
*[!0-9]* | 0?* | ?????*) ;;
*) export "GIT_CONFIG_KEY_$OHSB_N=safe.directory" "GIT_CONFIG_VALUE_$OHSB_N=*" "GIT_CONFIG_COUNT=$((OHSB_N + 1))" ;;
esac
OHSB_V=$(tr '\0\n' '\n\1' </proc/$$/environ |
sed "/^[A-Za-z_][A-Za-z0-9_]*=/d;/=/!d;s/'/'\\\\''/g;s/.*/'&'/" | tr '\1\n' '\n ')
[ -z "$OHSB_V" ] || eval "set -- env -- $OHSB_V \"\$@\""
case ${{OHSB_D:=$PWD}} in
{WORKSPACE}/?*)
[ -w "$OHSB_D" ] || [ -O "$OHSB_D" ] || rmdir "$OHSB_D" 2>/dev/null
mkdir -p "$OHSB_D" && cd "$OHSB_D" || exit
;;
esac
exec "$@"
"""
"""Arguments: a directory, or "", and the command. The script, in this order,

- makes git ignore the agent server's own files, unless the directory has its own .gitignore. It changes nothing if a
  client has put these files elsewhere;
- makes git accept the workspace, which belongs to root, by one more entry in addition to the client's entries;
- keeps variables that shells drop because their names have dots or hyphens. Its own variables have names that clients
  cannot use (`is_reserved`);
- creates the working directory below the workspace, or uses the image's. It replaces an empty directory of root's,
  which a container runtime has created, and changes no other directory."""


def launched(command: Sequence[str], working_dir: str) -> list[str]:
    """The container's command that starts this agent server command."""
    # Kubernetes expands $(NAME) in commands, and turns $$ into $.
    own = [word.replace("$", "$$") for word in (SCRIPT, below_workspace(working_dir))]
    return ["/bin/sh", "-c", own[0], "sh", own[1], *command]


def container_dir(working_dir: str) -> str:
    """The container's `workingDir`; "" for the image's. The container runtime creates a missing one as root."""
    return WORKSPACE if below_workspace(working_dir) else working_dir


def below_workspace(path: str) -> str:
    """The normalized path if it is below the workspace; "" if not."""
    plain = posixpath.normpath(f"/{path.lstrip('/')}") if path.startswith("/") else path
    return plain if plain.startswith(f"{WORKSPACE}/") else ""
