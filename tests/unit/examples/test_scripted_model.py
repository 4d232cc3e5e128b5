"""The scripted language model: what it answers to each conversation, and how it speaks over HTTP.

Tool results are written as openhands-tools 1.58.2 words them for the model.
"""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripted_model import FACTS_FILE, LOOK_COMMAND, ChatRequest, Message, app, chunks, facts_from, reply

TOOLS = ["terminal", "file_editor", "task_tracker", "finish", "think"]
WRITE = "Read the current repo and write 3 facts about the project into FACTS.txt."
DELETE = "Great! Now delete that file."
README = "# tidewatch\n\nIt predicts tides.\n\n- A list.\n\n```\nA. B.\n```\n\nIt is written\nin Python. It works.\n"
FOOTER = (
    "[The command completed with exit code {code}.]\n[Current working directory: /workspace]\n"
    "[Python interpreter: /usr/bin/python3]\n[Command finished with exit code {code}]"
)


def look(readme: str = README, files: tuple[str, ...] = (".git", "README.md", "tides.py"), code: int = 0) -> str:
    """What `LOOK_COMMAND` shows in a folder with these files."""
    listing = "".join(f"{file}\n" for file in files)
    return f"/workspace\n--- files\n{listing}--- README.md\n{readme}\n{FOOTER.format(code=code)}"


def user(text: str) -> Message:
    return Message.model_validate({"role": "user", "content": [{"type": "text", "text": text}]})


def conversation(task: str, *results: str, tools: list[str] = TOOLS) -> list[Message]:
    """A system prompt and a task, with the model's own calls so far and these results."""
    messages = [Message(role="system", content="You are an agent."), user(task)]
    for result in results:
        messages += [reply(messages, tools), Message(role="tool", content=result)]
    return messages


def called(message: Message) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the one tool call of a message."""
    assert message.tool_calls is not None
    [call] = message.tool_calls
    return call.function.name, json.loads(call.function.arguments)


def test_looks_at_the_project_first() -> None:
    assert called(reply(conversation(WRITE), TOOLS)) == ("terminal", {"command": LOOK_COMMAND})


def test_writes_three_facts_of_what_it_saw_into_the_folder_it_saw() -> None:
    name, arguments = called(reply(conversation(WRITE, look()), TOOLS))
    assert (name, arguments["command"], arguments["path"]) == ("file_editor", "create", "/workspace/FACTS.txt")
    assert arguments["file_text"] == (
        "1. The project is called tidewatch.\n2. It predicts tides.\n3. It is written in Python.\n"
    )


@pytest.mark.parametrize(
    ("tools", "files"),
    [(["terminal", "finish"], ("README.md",)), (TOOLS, ("README.md", FACTS_FILE))],
    ids=["no editor", "the file is there already, which the editor refuses to replace"],
)
def test_writes_with_the_terminal_instead_of_the_editor(
    tools: list[str], files: tuple[str, ...], tmp_path: Path
) -> None:
    seen = look(readme='# it\'s "odd" `$HOME`', files=files).replace("/workspace", str(tmp_path))
    name, arguments = called(reply(conversation(WRITE, seen, tools=tools), tools))
    assert name == "terminal"
    subprocess.run(["sh", "-c", arguments["command"]], check=True)
    assert (tmp_path / FACTS_FILE).read_text().startswith('1. The project is called it\'s "odd" `$HOME`.\n2. ')


@pytest.mark.parametrize(
    ("task", "results", "says"),
    [
        (WRITE, [look(), f"File created successfully at: /workspace/{FACTS_FILE}"], "I wrote 3 facts"),
        (WRITE, [look(), "[An error occurred during execution.]\nNo space left"], "could not write FACTS.txt"),
        (WRITE, [look(), FOOTER.format(code=1)], "could not write FACTS.txt"),
        (WRITE, ["bash: ls: command not found"], "could not read the project"),
        (DELETE, [FOOTER.format(code=0)], "I deleted FACTS.txt"),
        (DELETE, [f"rm: cannot remove\n{FOOTER.format(code=1)}"], "could not delete FACTS.txt"),
        ("Sing a song.", [], "know two tasks"),
    ],
)
def test_finishes_with_the_truth(task: str, results: list[str], says: str) -> None:
    name, arguments = called(reply(conversation(task, *results), TOOLS))
    assert name == "finish"
    assert says in arguments["message"]


def test_deletes_the_file_when_told_to_afterwards() -> None:
    messages = [*conversation(WRITE, look(), "File created successfully", "I wrote 3 facts"), user(DELETE)]
    assert called(reply(messages, TOOLS)) == ("terminal", {"command": f"rm {FACTS_FILE}"})


def test_each_call_of_a_conversation_has_an_id_of_its_own() -> None:
    messages = conversation(WRITE, look(), "File created successfully", "done")
    ids = [call.id for message in messages for call in message.tool_calls or []]
    assert len(ids) == len(set(ids)) == 3


@pytest.mark.parametrize(
    ("messages", "tools", "says"),
    [
        ([user(f"Generate a title for: {WRITE}")], [], "Facts about the project"),
        ([user("Generate a title for: something else")], [], "A short task"),
        ([user(WRITE)], ["think"], "without a tool named terminal"),
        ([user("Sing a song.")], ["terminal"], "know two tasks"),
        ([Message(role="system", content="Nobody asked.")], ["terminal"], "know two tasks"),
    ],
)
def test_answers_in_words_without_the_tools_for_more(messages: list[Message], tools: list[str], says: str) -> None:
    answer = reply(messages, tools)
    assert answer.tool_calls is None
    assert says in answer.text


@pytest.mark.parametrize(
    ("seen", "facts"),
    [
        (
            look(readme="head: cannot open 'README.md'", files=("a.py", "b.py"), code=1),
            ["Its folder holds a.py, b.py.", "It lives in /workspace.", "It has no README.md."],
        ),
        (
            look(readme="", files=()),
            ["Its folder is empty.", "It lives in /workspace.", "It has no README.md."],
        ),
        (
            look(readme="Only\nthis.", files=("README.md",)),
            ["Only this.", "Its folder holds README.md.", "It lives in /workspace."],
        ),
    ],
    ids=["no README", "empty folder", "short README"],
)
def test_facts(seen: str, facts: list[str]) -> None:
    assert facts_from(seen) == facts


@given(readme=st.text(max_size=300), files=st.lists(st.sampled_from(["README.md", "a.py", ".git"]), unique=True))
def test_any_project_has_three_facts_of_one_line(readme: str, files: list[str]) -> None:
    facts = facts_from(look(readme=readme, files=tuple(files)))
    assert len(facts) == 3
    assert all(fact.strip() and len(fact.splitlines()) == 1 for fact in facts)


def test_the_look_command_shows_what_the_facts_are_read_from(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    seen = subprocess.run(["sh", "-c", LOOK_COMMAND], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    name, arguments = called(reply(conversation(WRITE, seen), TOOLS))
    assert (name, arguments["path"]) == ("file_editor", f"{tmp_path}/{FACTS_FILE}")
    assert facts_from(seen) == ["The project is called tidewatch.", "It predicts tides.", "It is written in Python."]


LIST, SAY = {"tool": "terminal", "arguments": {"command": "ls"}, "say": "I look."}, {"say": "That is all."}


def scripted(*steps: object) -> str:
    return f"Do as it says. SCRIPT: {json.dumps(steps)} and what the agent server adds"


def test_plays_the_steps_that_a_message_brings() -> None:
    first, second, third = (reply(conversation(scripted(LIST, SAY), *["seen"] * n), TOOLS) for n in range(3))
    assert called(first) == ("terminal", {"command": "ls"})
    assert (first.text, second) == ("I look.", Message(role="assistant", content="That is all."))
    assert called(third) == ("finish", {"message": "The script has ended."})


def test_a_tool_may_call_its_arguments_as_it_likes() -> None:
    arguments = {"text": "hello", "tool": "hammer", "self": "me", "list": [1, {"a": None}]}
    step = {"tool": "think", "arguments": arguments}
    assert called(reply(conversation(scripted(step)), TOOLS)) == ("think", arguments)


def test_the_last_message_with_a_script_counts() -> None:
    begun = conversation(scripted(LIST, LIST, LIST), "seen")
    assert called(reply([*begun, user("Go on.")], TOOLS)) == ("terminal", {"command": "ls"})
    assert reply([*begun, user(scripted(SAY))], TOOLS).text == "That is all."


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("SCRIPT: [", "cannot read the script"),
        ("SCRIPT: 7", "valid list"),
        (scripted({"tool": 7}), "valid string"),
        (scripted({"tol": "terminal"}), "Extra inputs"),
        (scripted({"tool": "browser_navigate"}), "No tool 'browser_navigate' is on offer, only file_editor, finish"),
    ],
)
def test_says_why_a_script_cannot_be_played(task: str, says: str) -> None:
    name, arguments = called(reply(conversation(task), TOOLS))
    assert name == "finish"
    assert says in arguments["message"]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model") as client:
        yield client


def body(**changes: Any) -> dict[str, Any]:
    """A request as the agent server sends it, with some fields changed."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in TOOLS]
    messages = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": WRITE}]
    return {"model": "scripted", "messages": messages, "tools": tools, "reasoning_effort": "high"} | changes


async def test_completion(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/chat/completions", json=body())).raise_for_status().json()
    assert answer["object"] == "chat.completion"
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "terminal"
    usage = answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


async def test_completion_in_words(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/v1/chat/completions", json=body(tools=None))).raise_for_status().json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Facts about the project"}


async def test_stream_carries_the_same_answer(client: httpx.AsyncClient) -> None:
    whole = (await client.post("/v1/chat/completions", json=body())).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    response = await client.post("/v1/chat/completions", json=body(**options))
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, end = response.text.strip().split("\n\n")
    assert end == "data: [DONE]"
    *parts, last, usage = (json.loads(event.removeprefix("data: ")) for event in events)
    message = whole["choices"][0]["message"]
    *words, call = (part["choices"][0]["delta"] for part in parts)
    assert len(words) > 1
    assert "".join(word["content"] for word in words) == message["content"]
    assert call["tool_calls"] == [{"index": 0} | call for call in message["tool_calls"]]
    assert {word["role"] for word in [*words, call]} == {message["role"]}
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * len(parts)
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert {part["object"] for part in [*parts, last, usage]} == {"chat.completion.chunk"}
    assert len({part["id"] for part in [*parts, last, usage]}) == 1


@given(text=st.text(max_size=50))
def test_a_stream_of_words_leaves_nothing_out(text: str) -> None:
    request = ChatRequest.model_validate(body(tools=None))
    events = list(chunks(request, Message(role="assistant", content=text)))
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == text


async def test_stream_without_usage(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat/completions", json=body(stream=True))
    assert '"usage"' not in response.text
    assert response.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("content", "param", "says"),
    [
        ("{not json", None, "JSON"),
        (b'{"model": "\xff"}', None, "parsing the body"),
        ("[]", None, "valid dictionary"),
        (json.dumps({"model": "scripted"}), "messages", "Field required"),
        (json.dumps(body(messages=[])), "messages", "at least 1 item"),
        (json.dumps(body(messages=None)), "messages", "valid list"),
        (json.dumps(body(messages=[{"role": "robot"}])), "messages.0.role", "Input should be"),
        (json.dumps(body(messages=[{"role": "user", "content": 7}])), "messages.0.content", "Input should be"),
        (json.dumps(body(tools=[{"type": "function"}])), "tools.0.function", "Field required"),
        (json.dumps(body(stream="perhaps")), "stream", "valid boolean"),
    ],
)
async def test_refuses_a_bad_body_in_openai_words(
    client: httpx.AsyncClient, content: str | bytes, param: str | None, says: str
) -> None:
    headers = {"content-type": "application/json"}
    response = await client.post("/v1/chat/completions", content=content, headers=headers)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]
    assert (error["param"] or "").startswith(param or "")
    assert bool(error["param"]) == bool(param)


async def test_refuses_another_model(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat/completions", json=body(model="another"))
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405)]
)
async def test_refuses_what_it_does_not_have(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert f"{method} {path}" in response.json()["error"]["message"]


async def test_lists_the_model_that_it_accepts(client: httpx.AsyncClient) -> None:
    [model] = (await client.get("/v1/models")).json()["data"]
    assert (await client.post("/v1/chat/completions", json=body(model=model["id"]))).status_code == 200


async def test_healthz(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_while_it_thinks_it_answers_others(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state, "think_seconds", 3600)
    thinking = asyncio.create_task(client.post("/v1/chat/completions", json=body()))
    for _ in range(5):
        assert (await client.get("/healthz")).status_code == 200
    assert not thinking.done()
    thinking.cancel()
