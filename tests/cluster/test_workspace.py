"""The workspace as the real agent server, git and a container's user find it. Its mount belongs to root."""

import subprocess
import tempfile
from pathlib import Path

from cluster.runtime import Runtime
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import model_url
from sandbox_operator.builders.confinement import TERMINATION_LOG
from sandbox_operator.builders.environment import WORKSPACE
from sandbox_operator.builders.launch import SCRIPT

USER = 10001
WRITE_FACTS = "Read the current repo and write 3 facts about the project into FACTS.txt."
# Where the OpenHands app works, and a client's own setting of git.
BODY = {
    "working_dir": "/workspace/project",
    "environment": {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "A client"},
}


def changes(runtime: Runtime) -> set[str]:
    answer = runtime.agent.get("/api/git/changes", params={"path": WORKSPACE})
    assert answer.status_code == 200, answer.text
    return {change["path"] for change in answer.json()}


def test_git_and_a_directory_below_the_workspace_work_before_and_after_a_pause(
    persistent: Site, images: Images
) -> None:
    with Runtime(persistent, images.agent_server, **BODY) as runtime:
        runtime.await_ready()
        assert runtime.run("cd project && touch written && stat --format %u . && git config user.name") == (
            f"{USER}\nA client\n"
        )
        runtime.run("rm project/written")
        written = runtime.run(
            f"(echo x > {TERMINATION_LOG}) 2>/dev/null || ls /dev/termination-log 2>/dev/null || echo no"
        )
        assert written == "no\n", "nothing that no limit counts can be written"
        conversation = runtime.converse(WRITE_FACTS, model_url(persistent.release.namespace))
        eventually(lambda: runtime.conversation_status(conversation), lambda status: status == "finished")
        settings = {"misc_settings_diff": {"colour": "green"}}
        assert runtime.agent.patch("/api/settings", json=settings).status_code == 200
        secret = {"name": "TOKEN", "value": "never committed", "description": "of a test"}
        assert runtime.agent.put("/api/settings/secrets", json=secret).status_code == 200
        assert runtime.run("ls .openhands/settings.json .openhands/secrets.json conversations/*/meta.json | wc -l") == (
            "3\n"
        )
        assert changes(runtime) == {"FACTS.txt"}
        runtime.run("git add --all && git -c user.email=a@example.org commit --quiet --message facts")

        runtime.pause()
        runtime.resume()
        assert changes(runtime) == set()
        runtime.run("touch more && git add --all")
        assert runtime.run("git ls-files") == "FACTS.txt\nmore\n"
        assert changes(runtime) == {"more"}
        [found] = runtime.agent.get("/api/conversations/search").json()["items"]
        assert found["id"] == conversation


def test_an_empty_directory_that_a_container_runtime_has_made_becomes_the_user_s() -> None:
    """Sandboxes that earlier versions have made have it in their volume, and images can name it, too."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        workspace = Path(name)
        workspace.chmod(0o2777)
        for directory in ("empty", "full"):
            (workspace / directory).mkdir(mode=0o755)
        (workspace / "full" / "file").touch()
        owners: list[int] = []
        for directory in ("empty", "full"):
            words = [SCRIPT.replace(f"{WORKSPACE}/", f"{workspace}/"), "sh", str(workspace / directory), "pwd"]
            done = subprocess.run(
                ["/bin/sh", "-c", *words],
                cwd=workspace,
                env={"PATH": "/usr/bin:/bin"},
                user=USER,
                group=USER,
                extra_groups=[],
                capture_output=True,
                text=True,
            )
            assert (done.returncode, done.stdout) == (0, f"{workspace / directory}\n"), done.stderr
            owners.append((workspace / directory).stat().st_uid)
        assert owners == [USER, 0]
