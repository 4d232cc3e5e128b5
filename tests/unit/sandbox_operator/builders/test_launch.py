"""The script that a container begins with, run by real shells, git and all, in a workspace of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from sandbox_common.environment import is_reserved
from sandbox_operator.builders.environment import WORKSPACE, defaults
from sandbox_operator.builders.launch import SCRIPT, below_workspace, container_dir, launched
from sandbox_operator.builders.pod import build_pod
from unit.sandbox_operator.samples import class_, sandbox

STATE = ("conversations/0123/meta.json", "bash_events/2026_BashCommand_0123", ".worktrees/0123/file")
SETTINGS = tuple(
    f".openhands/{name}" for name in ("settings.json", "secrets.tmp.1", "workspaces.json", ".a.lock", "cache/x")
)
THEIRS = (".openhands/hooks.json", ".openhands/skills/deploy.md", ".openhands/setup.sh", "conversations.py")


class Container:
    """What the script does in a container whose workspace is a directory here."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.shell: tuple[str, ...] = ("/bin/sh",)

    def here(self, text: str) -> str:
        return text.replace(f"{WORKSPACE}/", f"{self.workspace}/")

    def start(
        self,
        directory: str = "",
        command: tuple[str, ...] = ("pwd",),
        environment: Mapping[str, str] = MappingProxyType({}),
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        known = {name: self.here(value) for name, value in defaults(class_()).items()}
        return subprocess.run(
            [*self.shell, "-c", self.here(SCRIPT), "sh", directory, *command],
            cwd=cwd or self.workspace,
            env={"PATH": os.environ["PATH"], **known, **environment},
            capture_output=True,
            text=True,
        )

    def environment(self, **environment: str) -> dict[str, str]:
        """Of what was started."""
        done = self.start("", ("env", "-0"), environment)
        assert (done.returncode, done.stderr) == (0, "")
        entries = (entry.partition("=") for entry in done.stdout.split("\0")[:-1])
        return {name: value for name, _, value in entries}

    def directory(self, asked: str | Path = "", cwd: Path | None = None) -> str:
        """Working directory of what was started."""
        done = self.start(str(asked), cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.removesuffix("\n")

    def git(self, *words: str, **environment: str) -> str:
        """Output of a git command in what was started. For git, its directories belong to somebody else."""
        done = self.start("", ("git", *words), {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", **environment})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, *names: str) -> None:
        for name in names:
            (self.workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (self.workspace / name).write_text("x")


@pytest.fixture(params=["sh", "bash"])
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Container:
    """In two of the shells that are /bin/sh somewhere."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    made = Container(workspace)
    if request.param == "bash":
        made.shell = ("bash", "--posix")
    return made


def test_git_works_in_a_directory_of_somebody_else_s(container: Container) -> None:
    container.git("init", "--quiet")
    container.write("file")
    assert container.git("status", "--porcelain") == "?? file\n"


def test_git_leaves_the_agent_server_s_own_files_alone(container: Container) -> None:
    container.git("init", "--quiet")
    container.write(*STATE, *SETTINGS, *THEIRS)
    container.git("add", "--all")
    assert container.git("ls-files").split() == sorted(THEIRS)
    assert container.git("ls-files", "--others", "--exclude-standard") == ""


def test_a_gitignore_that_is_there_stays(container: Container) -> None:
    for name in ("conversations", ".openhands"):
        (container.workspace / name).mkdir()
        (container.workspace / name / ".gitignore").write_text("of the user\n")
    (container.workspace / "bash_events").mkdir()
    (container.workspace / "bash_events" / ".gitignore").touch()  # the disk was full
    container.start()
    assert (container.workspace / "conversations" / ".gitignore").read_text() == "of the user\n"
    assert (container.workspace / ".openhands" / ".gitignore").read_text() == "of the user\n"
    assert (container.workspace / "bash_events" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("elsewhere", ["", "{}", "{}/", "{}/mine", "/nowhere", "relative"])
def test_nothing_is_made_for_state_that_is_elsewhere(container: Container, elsewhere: str) -> None:
    path = elsewhere.format(container.workspace)
    names = ("OH_CONVERSATIONS_PATH", "OH_BASH_EVENTS_DIR", "OH_PERSISTENCE_DIR", "OH_CONVERSATION_WORKTREE_ROOT")
    container.start(environment=dict.fromkeys(names, path))
    assert list(container.workspace.iterdir()) == []


def test_a_workspace_that_cannot_be_written_does_not_keep_the_agent_server_from_starting(container: Container) -> None:
    (container.workspace / "conversations").write_text("no directory")
    assert container.directory() == str(container.workspace)
    assert (container.workspace / "conversations").read_text() == "no directory"


def safe(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("GIT_CONFIG_")}


def test_a_client_s_own_settings_of_git_are_kept(container: Container) -> None:
    assert safe(container.environment()) == {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    own = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "A name"}
    assert safe(container.environment(**own)) == own | {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }
    assert container.git("config", "user.name", **own) == "A name\n"


@pytest.mark.parametrize("count", ["many", "-1", "08", "1 ", "99999999999999999999", "$(id)"])
def test_what_is_no_number_of_settings_is_left_to_git(container: Container, count: str) -> None:
    assert safe(container.environment(GIT_CONFIG_COUNT=count)) == {"GIT_CONFIG_COUNT": count}


def test_every_variable_arrives_as_it_was_sent(container: Container) -> None:
    value = 'it\'s "a" $HOME `id` \\ value\n  of two lines\ttab = é 💡 \\n'
    sent = {"PLAIN": value, "with.dots": value, "with-hyphen": f"'{value}'", "a.b-c": "", "x.y": "\n\n"}
    environment = container.environment(**sent)
    assert {name: environment.get(name) for name in sent} == sent


def test_no_variable_is_taken_for_one_of_the_script_s_nor_for_an_option(container: Container) -> None:
    used = re.findall(r"\$\{?([A-Za-z_]+)|^([A-Za-z_]+)=", SCRIPT, re.MULTILINE)
    kept = {name for pair in used for name in pair if name and not is_reserved(name)} - {"PWD"}
    assert kept <= {"GIT_CONFIG_COUNT", *defaults(class_())}
    sent = {"-i": "1", "-u": "PATH", "-": "x", "--": "y", "d": "1", "f": "2", "n": "3", "v": "4"}
    environment = container.environment(**sent)
    assert {name: environment.get(name) for name in sent} == sent


@pytest.mark.parametrize("name", ["project", "a/b/c", "with space/it's", "$(touch x)", "-p", "*", "new\nline", "é"])
def test_a_directory_below_the_workspace_is_made(container: Container, name: str) -> None:
    wanted = container.workspace / name
    assert container.directory(wanted) == str(wanted)
    assert wanted.stat().st_mode & 0o700 == 0o700


def test_a_directory_that_is_there_is_left_alone(container: Container) -> None:
    project = container.workspace / "project"
    container.write("project/file", "other/file")
    project.chmod(0o750)
    before = project.stat()
    assert container.directory(project) == str(project)
    assert project.stat() == before
    (container.workspace / "link").symlink_to("other")
    assert Path(container.directory(container.workspace / "link")).resolve() == container.workspace / "other"
    assert (container.workspace / "link").is_symlink()


def test_a_directory_that_cannot_be_made_is_named(container: Container) -> None:
    container.write("file")
    done = container.start(str(container.workspace / "file" / "below"))
    assert done.returncode != 0
    assert str(container.workspace / "file") in done.stderr
    assert done.stdout == ""


def test_without_a_directory_it_is_the_image_s(container: Container, tmp_path: Path) -> None:
    assert container.directory(cwd=tmp_path) == str(tmp_path)


def test_the_process_becomes_the_agent_server(container: Container) -> None:
    """No process stays in between: signals are for the agent server."""
    known = {name: container.here(value) for name, value in defaults(class_()).items()}
    words = [
        *container.shell,
        "-c",
        container.here(SCRIPT),
        "sh",
        "",
        sys.executable,
        "-c",
        "import os; print(os.getpid())",
    ]
    for more in ({}, {"with.dots": "1"}):
        with subprocess.Popen(words, env={**os.environ, **known, **more}, stdout=subprocess.PIPE, text=True) as process:
            assert process.communicate()[0] == f"{process.pid}\n"


def test_a_command_that_is_not_there_ends_as_shells_say(container: Container) -> None:
    done = container.start(command=("/nowhere/agent-server",))
    assert done.returncode == 127
    assert "/nowhere/agent-server" in done.stderr


@pytest.mark.parametrize(
    ("asked", "of_script", "of_container"),
    [
        ("", "", ""),
        ("/", "", "/"),
        ("/workspace", "", "/workspace"),
        ("/workspace/", "", "/workspace/"),
        ("/workspace/project", "/workspace/project", "/workspace"),
        ("//workspace/./project//", "/workspace/project", "/workspace"),
        ("/workspace/a/../b", "/workspace/b", "/workspace"),
        ("/srv/../workspace/a", "/workspace/a", "/workspace"),
        ("/workspace/../etc", "", "/workspace/../etc"),
        ("/workspaces/a", "", "/workspaces/a"),
        ("/workspace/a b$(c)$d", "/workspace/a b$(c)$d", "/workspace"),
    ],
)
def test_which_directories_are_made(asked: str, of_script: str, of_container: str) -> None:
    assert below_workspace(asked) == of_script
    assert container_dir(asked) == of_container
    [made] = build_pod(sandbox(workingDir=asked), class_())["spec"]["containers"]
    assert made.get("workingDir", "") == of_container
    assert expanded(made["command"])[:5] == ["/bin/sh", "-c", SCRIPT, "sh", of_script]


def expanded(words: list[str]) -> list[str]:
    """What Kubernetes makes of a command (k8s.io/kubernetes/third_party/forked/golang/expansion), without variables."""
    found: list[str] = []
    for word in words:
        parts = word.split("$$")
        assert all("$" not in part for part in parts), word
        found.append("$".join(parts))
    return found


def test_the_client_s_own_command_stays_as_kubernetes_reads_it() -> None:
    command = ["agent", "$(HOME)", "$$(x)", "a b", ""]
    assert launched(command, "/workspace/x")[5:] == command
