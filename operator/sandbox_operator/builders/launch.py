"""The command of a sandbox's container: a small shell script, which becomes the agent server.

As the sandbox's user it first makes the workspace fit to work in; the mount belongs to root, and what the container
runtime makes in it does, too. It is the same in warm pods. All that it needs of an image is /bin/sh.
"""

import posixpath
from collections.abc import Sequence

from sandbox_operator.builders.environment import WORKSPACE

_STATE = {
    "OH_CONVERSATIONS_PATH": ("conversations", ("*",)),
    "OH_BASH_EVENTS_DIR": ("bash_events", ("*",)),
    "OH_CONVERSATION_WORKTREE_ROOT": (".worktrees", ("*",)),
    # Repositories have a directory of this name, too: hooks.json, agents, memory, skills and plugins may be theirs.
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
its default below the workspace, and what of it is no work of the user's, as patterns of git."""

_IGNORE = "\n".join(
    f'ignore "${variable}" {WORKSPACE}/{name} {" ".join(f"'{pattern}'" for pattern in patterns)}'
    for variable, (name, patterns) in _STATE.items()
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
"""Takes a directory, or "", and the command; in this order it

- lets git leave the agent server's own files alone, unless the directory has its own .gitignore. Such a file harms none
  of its readers, and a client that puts the state elsewhere is not meddled with;
- lets git work in the workspace, which belongs to root, by one entry more than those of the client's, if it has some;
- keeps variables that shells drop since their names have dots or hyphens, and all others by using none that a client
  can have (`is_reserved`);
- makes the directory below the workspace, or the image's own. An empty one of root's is one that a container runtime
  has made; all others stay as they are."""


def launched(command: Sequence[str], working_dir: str) -> list[str]:
    """The container's command for this command of an agent server."""
    # Kubernetes expands $(NAME) in commands, and takes $$ for $.
    own = [word.replace("$", "$$") for word in (SCRIPT, below_workspace(working_dir))]
    return ["/bin/sh", "-c", own[0], "sh", own[1], *command]


def container_dir(working_dir: str) -> str:
    """The container's `workingDir`, "" for the image's: the runtime makes it, if it is missing, as root."""
    return WORKSPACE if below_workspace(working_dir) else working_dir


def below_workspace(path: str) -> str:
    """The path without detours, if it leads below the workspace; "" if not."""
    plain = posixpath.normpath(f"/{path.lstrip('/')}") if path.startswith("/") else path
    return plain if plain.startswith(f"{WORKSPACE}/") else ""
