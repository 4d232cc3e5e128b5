"""Pause and resume of sandboxes with a volume: nothing that a client has is lost, however often, whatever is killed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.injections import class_body
from cluster.runtime import Runtime, identity
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import model_url
from sampling import count

DISCARDING = "discarding"
HOOK = "/api/conversations/prepare-for-sandbox-pause"
CYCLES = count(3, 20)
# 2,000 files of many sizes in 40 directories, some links, some with other modes.
MAKE_TREE = """
mkdir -p tree && cd tree
for d in $(seq 40); do
    mkdir -p "d$d"
    for f in $(seq 49); do head -c $((d * f * 7)) /dev/urandom > "d$d/f$f"; done
    ln -s "f$d" "d$d/link"
    chmod $((400 + d % 7 * 10)) "d$d/f1"
done
sync
find . ! -type d | wc -l
"""
# Content, names, modes, owners and link targets.
CHECKSUM = (
    "cd tree && { find . -type f -print0 | sort -z | xargs -0 sha256sum;"
    " find . -printf '%p %m %U:%G %l\\n' | sort; } | sha256sum"
)
WRITE_FACTS = "Read the current repo and write 3 facts about the project into FACTS.txt."

SDK_PROGRAM = """
import os, sys, time
from openhands.sdk import LLM, Conversation
from openhands.tools.preset.default import get_default_agent
from openhands.workspace import APIRemoteWorkspace

url, image, model, write_facts = sys.argv[1:]
llm = LLM(usage_id="agent", model="openai/scripted", base_url=model, api_key="any")
with APIRemoteWorkspace(
    runtime_api_url=url, runtime_api_key=os.environ["RUNTIME_API_KEY"], server_image=image
) as workspace:
    def identity():
        return workspace._runtime_id, workspace._runtime_url, workspace._session_api_key

    first = identity()
    agent = get_default_agent(llm=llm, cli_mode=True)
    conversation = Conversation(agent=agent, workspace=workspace, visualizer=None)
    conversation.send_message(write_facts)
    conversation.run()
    before = [event.id for event in conversation.state.events]

    workspace.pause()
    workspace.resume()
    assert identity() == first
    facts = workspace.execute_command("cat FACTS.txt", cwd=workspace.working_dir)
    assert facts.exit_code == 0, facts
    # The same object goes on with the same conversation.
    conversation.send_message("Great! Now delete that file.")
    conversation.run()
    after = [event.id for event in conversation.state.events]
    assert after[: len(before)] == before, (before, after)
    # The state that a new connection begins with is that of the last run, and ends run() if it comes late
    # (openhands-sdk 1.58.2, RemoteConversation).
    for _ in range(60):
        gone = workspace.execute_command("test ! -e FACTS.txt", cwd=workspace.working_dir)
        if gone.exit_code == 0:
            break
        time.sleep(1)
    assert gone.exit_code == 0, gone

    # Another client finds the session paused, and resumes it by itself.
    workspace.pause()
    other = APIRemoteWorkspace(
        runtime_api_url=url,
        runtime_api_key=os.environ["RUNTIME_API_KEY"],
        server_image=image,
        session_id=workspace.session_id,
        keep_alive=True,
    )
    assert (other._runtime_id, other._runtime_url, other._session_api_key) == first
    # What git and curl trust. The image is built with a bundle mounted there, which must not be missing from it then.
    assert other.execute_command("test -s /etc/ssl/certs/ca-certificates.crt").exit_code == 0
    conversation.close()
"""


@pytest.fixture
def runtime(persistent: Site, images: Images) -> Iterator[Runtime]:
    """A sandbox with a volume, ready."""
    with Runtime(persistent, images.agent_server) as runtime:
        runtime.await_ready()
        yield runtime


def test_the_sdk_pauses_resumes_and_goes_on(persistent: Site, images: Images, sdk: Path) -> None:
    model = model_url(persistent.release.namespace)
    done = subprocess.run(
        [str(sdk), "-c", SDK_PROGRAM, persistent.url, images.agent_server, model, WRITE_FACTS],
        env=persistent.sdk_environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_what_the_agent_server_knew_comes_back(runtime: Runtime) -> None:
    runtime.run("echo $((6 * 7)) > answer.txt")
    conversation = runtime.converse(WRITE_FACTS, model_url(runtime.site.release.namespace))
    eventually(lambda: runtime.conversation_status(conversation), lambda status: status == "finished")
    settings = {"misc_settings_diff": {"colour": "green"}, "agent_settings_diff": {"llm": {"model": "openai/other"}}}
    assert runtime.agent.patch("/api/settings", json=settings).status_code == 200
    secret = {"name": "TOKEN", "value": "not to be lost", "description": "of a test"}
    assert runtime.agent.put("/api/settings/secrets", json=secret).status_code == 200
    knew = knowledge(runtime, conversation)

    log = follow_log(runtime)
    runtime.pause()
    assert HOOK in log.communicate(timeout=30)[0], "the agent server was not told that it will be paused"
    refused = runtime.agent.get("/api/settings")
    assert refused.status_code == 503
    assert "paused" in refused.json()["detail"]

    runtime.resume()
    assert knowledge(runtime, conversation) == knew
    assert runtime.run("cat answer.txt") == "42\n"


def follow_log(runtime: Runtime) -> subprocess.Popen[str]:
    """Collects the agent server's log, up to its end."""
    pod = runtime.object()["status"]["podName"]
    return subprocess.Popen(
        runtime.site.release.target.kubectl_command(
            "--namespace", runtime.site.release.namespace, "logs", "--follow", pod
        ),
        stdout=subprocess.PIPE,
        text=True,
    )


def knowledge(runtime: Runtime, conversation: str) -> dict[str, Any]:
    """What the agent server keeps on the volume, as its API tells it."""

    def get(path: str) -> Any:
        answer = runtime.agent.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.headers["content-type"].startswith("application/json") else answer.text

    page = get("/api/bash/bash_events/search?kind__eq=BashCommand")
    events = get(f"/api/conversations/{conversation}/events/search?limit=100")["items"]
    assert page["items"]
    assert events
    return {
        "conversations": [item["id"] for item in get("/api/conversations/search")["items"]],
        "events": [event["id"] for event in events],
        "commands": [item["command"] for item in page["items"] if "answer" in item["command"]],
        "settings": get("/api/settings"),
        "secrets": get("/api/settings/secrets"),
        "secret": get("/api/settings/secrets/TOKEN"),
    }


def test_a_start_names_what_it_does_not_change(runtime: Runtime) -> None:
    [event] = [one for one in runtime.start(resource_factor=2)["events"] if one["reason"] == "StartFieldsIgnored"]
    assert "resource_factor" in event["message"]
    posted = runtime.site.kubectl(
        "get", "events", f"--field-selector=involvedObject.name={runtime.id}", "--output", "json"
    )
    assert event["message"] in [one["message"] for one in posted["items"]]


def test_a_tree_of_2000_files_is_equal_over_many_cycles(runtime: Runtime) -> None:
    assert runtime.run(MAKE_TREE) == "2000\n"
    checksum = runtime.run(CHECKSUM)
    pods = {runtime.object()["status"]["podUID"]}
    for cycle in range(CYCLES):
        runtime.pause()
        runtime.resume()
        assert runtime.run(CHECKSUM) == checksum, f"after cycle {cycle}"
        pods.add(runtime.object()["status"]["podUID"])
    assert len(pods) == CYCLES + 1


def test_a_pod_that_somebody_deletes_is_replaced_with_its_data(runtime: Runtime) -> None:
    runtime.run("echo kept > note.txt")
    before = runtime.object()["status"]["podUID"]
    runtime.site.kubectl("delete", "pod", runtime.object()["status"]["podName"])
    eventually(
        lambda: runtime.object()["status"], lambda status: status["podUID"] != before and status["readyTime"] != ""
    )
    assert identity(runtime.await_ready()) == runtime.identity
    assert runtime.run("cat note.txt") == "kept\n"


def test_without_a_volume_a_pause_is_refused_unless_the_class_accepts_the_loss(site: Site, images: Images) -> None:
    with Runtime(site, images.agent_server) as runtime:
        runtime.await_ready()
        runtime.run("echo kept > note.txt")
        refused = runtime.try_pause()
        assert refused.status_code == 409
        assert "workspace.discardOnSuspension" in refused.json()["detail"]
        assert runtime.run("cat note.txt") == "kept\n"
        discarding = class_body(DISCARDING, {"workspace": {"discardOnSuspension": True}})
        site.kubectl("apply", "--filename", "-", body=discarding)
        of_class = json.dumps({"spec": {"className": DISCARDING}})
        site.kubectl("patch", "ohsb", runtime.id, "--type=merge", f"--patch={of_class}")
        answer = eventually(runtime.try_pause, lambda answer: answer.status_code == 200).json()
        eventually(lambda: runtime.condition()["reason"], lambda reason: reason == "Suspended")
        assert "not kept" in json.dumps(answer)
        assert "not kept" in runtime.condition()["message"]
