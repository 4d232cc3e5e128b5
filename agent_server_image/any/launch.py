"""Starts the agent server in a container of another image, where this image is mounted at /oh.

    /oh/any/bin/python -I /oh/any/launch.py SETTINGS [option of the agent server ...]

SETTINGS is a JSON object. `directory` is where to start, "" for the container's own. Below the workspace, it is made.
`ignored` names directories of the agent server's own files: by the variable that may lead elsewhere, each a pair of its
path and of what git leaves alone in it.

Commands of agents get the container's environment, not this program's: only directories at the end of PATH are new.
"""

import json
import os
import subprocess
import sys
import zoneinfo
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ANY = Path(__file__).parent
WORKSPACE = Path("/workspace")

_DURING_IMPORT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LOG_JSON": "true"}
_DEFAULTS = {"OH_ENABLE_BROWSER": "false", "OH_ENABLE_VSCODE": "false", "OH_PRELOAD_TOOLS": "false"}
"""As in the image's own environment. There is nothing but the agent server to start in another image."""


def main() -> None:
    settings, options = json.loads(sys.argv[1]), sys.argv[2:]
    for variable, (path, patterns) in settings["ignored"].items():
        if os.environ.get(variable, "").rstrip("/") == path:
            _ignore(Path(path), patterns)
    _allow_git_everywhere(os.environ)
    directory = Path(settings["directory"] or Path.cwd())
    if WORKSPACE in directory.parents:
        _enter(directory)
    _offer_programs(os.environ)
    zoneinfo.reset_tzpath([*zoneinfo.TZPATH, str(ANY / "zoneinfo")])
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name, value in _DURING_IMPORT.items():
        os.environ.setdefault(name, value)
    import agent_server_boot

    agent_server = agent_server_boot.load(options)
    import litellm  # noqa: F401

    for name in {"LC_CTYPE", *_DURING_IMPORT} - _given_variables():
        os.environ.pop(name, None)
    sys.argv = ["agent-server", *options]
    agent_server.main()


def _ignore(directory: Path, patterns: Sequence[str]) -> None:
    file = directory / ".gitignore"
    with suppress(OSError):
        if not file.exists() or not file.stat().st_size:
            directory.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{pattern}\n" for pattern in patterns))


def _allow_git_everywhere(environment: MutableMapping[str, str]) -> None:
    """The workspace's mount belongs to root: one entry more than those of the client's, if it has some."""
    count = environment.get("GIT_CONFIG_COUNT") or "0"
    if count.isdecimal() and count.isascii() and str(int(count)) == count and len(count) < 5:
        environment[f"GIT_CONFIG_KEY_{count}"] = "safe.directory"
        environment[f"GIT_CONFIG_VALUE_{count}"] = "*"
        environment["GIT_CONFIG_COUNT"] = str(int(count) + 1)


def _enter(directory: Path) -> None:
    """An empty one of root's is one that a container runtime has made: it is made anew. All others stay as they are."""
    if directory.is_dir() and not os.access(directory, os.W_OK) and directory.stat().st_uid != os.getuid():
        with suppress(OSError):
            directory.rmdir()
    directory.mkdir(parents=True, exist_ok=True)
    os.chdir(directory)


def _offer_programs(environment: MutableMapping[str, str]) -> None:
    """What the agent server runs and the image lacks."""
    programs = [ANY / "path"]
    # The agent server's terminals in tmux run just this shell. Without tmux, it looks for bash in PATH.
    if os.access("/bin/bash", os.X_OK):
        programs.append(ANY / "tmux")
    environment["PATH"] = os.pathsep.join([environment.get("PATH") or os.defpath, *map(str, programs)])
    if not os.access("/bin/sh", os.X_OK):
        _use_shell(str(ANY / "path" / "bash"))


def _use_shell(path: str) -> None:
    """In place of the /bin/sh that is missing, for `shell=True`."""
    original: Any = subprocess.Popen.__init__

    def init(self: object, args: object, *rest: object, **options: Any) -> None:
        if options.get("shell") and not options.get("executable"):
            options["executable"] = path
        original(self, args, *rest, **options)

    setattr(subprocess.Popen, "__init__", init)  # noqa: B010


def _given_variables() -> set[str]:
    """Names of what the container has set; Python adds to it where there is no locale."""
    return {os.fsdecode(entry).partition("=")[0] for entry in Path("/proc/self/environ").read_bytes().split(b"\0")}


if __name__ == "__main__":
    main()
