"""A language model without a model: an OpenAI-compatible server that plays one agent's part.

It speaks `POST /v1/chat/completions` (plain and streamed), `GET /v1/models` and `GET /healthz`, and answers the two
tasks of `facts_about_project.py` with real tool calls, so that a real agent does real work in its sandbox with no
model, no key and no way out to the internet. What it does next depends on the conversation alone, which every request
carries whole: the server keeps no state, and any number of agents can use it at once.

Other tasks bring their answers along: a message with `SCRIPT: [step, …]` in it is answered with these steps, one a
request. A step is a tool call, `{"tool": "terminal", "arguments": {"command": "ls"}}`, or words that end the turn,
`{"say": "Done."}`; a call may have a `say`, too. The last message that has a script counts, so one that is sent in
mid-run replaces what is left of the one before.

    python scripted_model.py --host 0.0.0.0 --port 8080

An agent reaches it with `LLM_MODEL=openai/scripted`, `LLM_BASE_URL=http://<host>:8080/v1` and any `LLM_API_KEY`.

Tool names and arguments are those of openhands-tools 1.58.2: `terminal` (`command`), `file_editor` (`command`, `path`,
`file_text`) and `finish` (`message`).
"""

import argparse
import asyncio
import json
import logging
import posixpath
import re
import shlex
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException

MODEL = "scripted"
FACTS_FILE = "FACTS.txt"
FACTS_WANTED = 3

# One command shows everything the facts are made of; the two marks let its output be taken apart again.
FILES_MARK = "--- files"
README_MARK = "--- README.md"
SCRIPT_MARK = "SCRIPT:"
LOOK_COMMAND = f"pwd; echo '{FILES_MARK}'; ls -1A; echo '{README_MARK}'; head -c 8000 README.md"

# How the tools report a failure to the model: the terminal's closing line, and the header of every failed observation.
EXIT_CODE = re.compile(r"\[Command finished with exit code (-?\d+)\]")
TOOL_ERROR = "[An error occurred during execution.]"

log = logging.getLogger("scripted_model")


# --- what goes over the wire: the part of OpenAI's chat completion API that is read or written here


class TextPart(BaseModel):
    """One element of a message's `content` list; parts that are not text (images) have no `text`."""

    type: str
    text: str = ""


class FunctionCall(BaseModel):
    """Name of a tool and its arguments, a JSON object in text form."""

    name: str
    arguments: str


class ToolCall(BaseModel):
    """One call of a tool, asked for by the model."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(BaseModel):
    """One message of a conversation, from either side."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """The message's text, whichever form it came in."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class Function(BaseModel):
    """Declaration of a tool; only its name is used."""

    name: str


class Tool(BaseModel):
    """One tool that the agent offers."""

    type: Literal["function"]
    function: Function


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat/completions`; fields that do not matter here (temperature, …) are ignored."""

    model: str
    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None


# --- the script: pure functions from a conversation to the next message


class Step(BaseModel):
    """One answer of a script that came with a message: a tool call, or words that end the turn."""

    model_config = ConfigDict(extra="forbid")

    tool: str | None = None
    arguments: dict[str, JsonValue] = {}
    say: str = ""


_STEPS = TypeAdapter(list[Step])


def reply(messages: Sequence[Message], tools: Collection[str]) -> Message:
    """Return the assistant's next message.

    `messages` is the conversation so far, oldest first; `tools` are the names of the tools on offer. A request without
    tools (the agent server asks for a title that way) is answered with a line of text.
    """
    last_user = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    task = messages[last_user].text if last_user >= 0 else ""
    results = [message.text for message in messages[last_user + 1 :] if message.role == "tool"]
    turn = _Turn(call_id=f"call_{len(messages)}", tools=tools)
    if not tools:
        return Message(role="assistant", content="Facts about the project" if FACTS_FILE in task else "A short task")
    asked = max((i for i, message in enumerate(messages) if _has_script(message)), default=-1)
    if asked >= 0:
        answered = sum(message.role == "assistant" for message in messages[asked + 1 :])
        return _follow(turn, messages[asked].text, answered)
    if "terminal" not in tools:
        return turn.finish("I can do nothing without a tool named terminal.")
    if re.search(r"\b(delete|remove)\b", task, re.IGNORECASE):
        return _delete_facts(turn, results)
    if FACTS_FILE in task:
        return _write_facts(turn, results)
    return turn.finish(f"I am a script and know two tasks: write {FACTS_FILE}, and delete it.")


def facts_from(look: str) -> list[str]:
    """Return three facts out of the output of `LOOK_COMMAND`: what the README says first, then what the folder shows.

    Raises ValueError when the text is not such an output.
    """
    folder, files, readme = _sections(look)
    heading = next((line.lstrip("#").strip() for line in readme.splitlines() if line.startswith("#")), "")
    facts = [f"The project is called {heading}."] if heading else []
    facts += _sentences(readme)
    facts.append(f"Its folder holds {', '.join(files)}." if files else "Its folder is empty.")
    facts += [f"It lives in {folder}.", "It has no README.md." if not readme else "It has a README.md."]
    return facts[:FACTS_WANTED]


class _Turn:
    """Makes the assistant's messages of one turn."""

    def __init__(self, call_id: str, tools: Collection[str]) -> None:
        self.tools = tools
        self._call_id = call_id

    def call(self, tool: str, text: str, /, **arguments: JsonValue) -> Message:
        call = ToolCall(id=self._call_id, function=FunctionCall(name=tool, arguments=json.dumps(arguments)))
        return Message(role="assistant", content=text, tool_calls=[call])

    def finish(self, text: str) -> Message:
        """End the turn: by the tool made for it, or in plain words, which end a turn as well."""
        return (
            self.call("finish", "", message=text) if "finish" in self.tools else Message(role="assistant", content=text)
        )


def _has_script(message: Message) -> bool:
    return message.role == "user" and SCRIPT_MARK in message.text


def _follow(turn: _Turn, task: str, answered: int) -> Message:
    """The next step of the script in `task`, of which so many are done."""
    text = task.partition(SCRIPT_MARK)[2].lstrip()
    try:
        # More text may follow: the agent server adds to what the user wrote.
        steps = _STEPS.validate_python(json.JSONDecoder().raw_decode(text)[0])
    except (json.JSONDecodeError, ValidationError) as error:
        return turn.finish(f"I cannot read the script: {error}")
    if answered >= len(steps):
        return turn.finish("The script has ended.")
    step = steps[answered]
    if step.tool is None:
        return Message(role="assistant", content=step.say)
    if step.tool not in turn.tools:
        return turn.finish(f"No tool {step.tool!r} is on offer, only {', '.join(sorted(turn.tools))}.")
    return turn.call(step.tool, step.say, **step.arguments)


def _write_facts(turn: _Turn, results: Sequence[str]) -> Message:
    if not results:
        return turn.call("terminal", "I will look at the project first.", command=LOOK_COMMAND)
    if len(results) > 1:
        return turn.finish(
            f"I could not write {FACTS_FILE}: {results[1]}"
            if _failed(results[1])
            else f"I wrote {FACTS_WANTED} facts about the project into {FACTS_FILE}."
        )
    try:
        folder, files, _ = _sections(results[0])
        facts = facts_from(results[0])
    except ValueError as error:
        return turn.finish(f"I could not read the project: {error}")
    text = "".join(f"{number}. {fact}\n" for number, fact in enumerate(facts, start=1))
    path = posixpath.join(folder, FACTS_FILE)
    # `create` refuses to overwrite a file.
    if "file_editor" in turn.tools and FACTS_FILE not in files:
        return turn.call("file_editor", "Now I write the facts.", command="create", path=path, file_text=text)
    command = f"printf %s {shlex.quote(text)} > {shlex.quote(path)}"
    return turn.call("terminal", "Now I write the facts.", command=command)


def _delete_facts(turn: _Turn, results: Sequence[str]) -> Message:
    if not results:
        return turn.call("terminal", f"I will delete {FACTS_FILE}.", command=f"rm {FACTS_FILE}")
    return turn.finish(
        f"I could not delete {FACTS_FILE}: {results[0]}" if _failed(results[0]) else f"I deleted {FACTS_FILE}."
    )


def _failed(result: str) -> bool:
    code = EXIT_CODE.search(result)
    return TOOL_ERROR in result or (code is not None and code[1] != "0")


def _sections(look: str) -> tuple[str, list[str], str]:
    """Take the output of `LOOK_COMMAND` apart: folder, file names, README (empty when there is none)."""
    body = [line.rstrip() for line in look.splitlines()]
    # The terminal ends with lines of its own, in brackets.
    while body and body[-1].startswith("["):
        body.pop()
    if FILES_MARK not in body or README_MARK not in body:
        raise ValueError(f"the output is not what was asked for: {look[:200]!r}")
    files_at, readme_at = body.index(FILES_MARK), body.index(README_MARK)
    folder = next((line for line in body[:files_at] if line.startswith("/")), "/")
    files = [line for line in body[files_at + 1 : readme_at] if line]
    readme = "\n".join(body[readme_at + 1 :]).strip() if "README.md" in files else ""
    return folder, files, readme


def _sentences(markdown: str) -> list[str]:
    """The sentences of the running text of a Markdown document: no headings, lists, tables, quotes or code."""
    without_code = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    paragraphs = re.split(r"\n\s*\n", without_code)
    prose = [" ".join(text.split()) for text in paragraphs if re.match(r"\s*[A-Za-z]", text)]
    return [sentence for text in prose for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text) if len(sentence) > 1]


# --- the server


def completion(request: ChatRequest, message: Message) -> dict[str, Any]:
    """Return the `chat.completion` object that carries `message`."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": message.model_dump(exclude_none=True) | {"content": message.content},
                "finish_reason": "tool_calls" if message.tool_calls else "stop",
            }
        ],
        "usage": _usage(request, message),
    }


def chunks(request: ChatRequest, message: Message) -> Iterator[str]:
    """Yield the same answer as server-sent `chat.completion.chunk` events: words, tool calls, and the end."""
    whole = completion(request, message)
    choice = whole["choices"][0]
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [{"content": word} for word in re.findall(r"\s*\S+|\s+", message.text)]
    if message.tool_calls:
        calls = choice["message"]["tool_calls"]
        deltas.append({"tool_calls": [{"index": i} | call for i, call in enumerate(calls)]})
    for delta in deltas or [{"content": message.text}]:
        yield _event(head | {"choices": [{"index": 0, "delta": {"role": message.role} | delta, "finish_reason": None}]})
    yield _event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if request.stream_options and request.stream_options.include_usage:
        yield _event(head | {"choices": [], "usage": whole["usage"]})
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _usage(request: ChatRequest, message: Message) -> dict[str, int]:
    """Token counts by the rule of thumb of four characters a token: there is no tokenizer here."""
    prompt = sum(len(m.model_dump_json()) for m in request.messages) // 4
    answer = len(message.model_dump_json()) // 4
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _error(status: int, message: str, *, param: str | None = None, code: str | None = None) -> JSONResponse:
    """An error as OpenAI's API words it."""
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": body}, status_code=status)


app = FastAPI(title="Scripted language model", openapi_url=None)
app.state.think_seconds = 0.0


@app.exception_handler(RequestValidationError)
async def refuse_body(_request: Request, error: RequestValidationError) -> JSONResponse:
    """A body that is no JSON, or not of the right shape."""
    first = error.errors()[0]
    # For a body that is no JSON, the place is an offset and not a field.
    where = "" if first["type"] == "json_invalid" else ".".join(str(part) for part in first["loc"][1:])
    return _error(400, f"{where}: {first['msg']}" if where else first["msg"], param=where or None)


@app.exception_handler(HTTPException)
async def refuse_route(request: Request, error: HTTPException) -> JSONResponse:
    """A path or method that does not exist here."""
    return _error(error.status_code, f"{request.method} {request.url.path}: {error.detail}")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answers when the server does."""
    return {"status": "ok"}


@app.get("/v1/models")
async def models() -> dict[str, Any]:
    """List the one model there is."""
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "examples"}]}


@app.post("/v1/chat/completions", response_model=None)
async def chat_completions(request: ChatRequest) -> JSONResponse | StreamingResponse:
    """Answer a conversation with its next message; 404 `model_not_found` for any model but this one."""
    if request.model != MODEL:
        return _error(404, f"No model {request.model!r} here, only {MODEL!r}.", param="model", code="model_not_found")
    await asyncio.sleep(app.state.think_seconds)
    message = reply(request.messages, [tool.function.name for tool in request.tools or []])
    doing = message.tool_calls[0].function.name if message.tool_calls else "text"
    log.info("%d messages, %d tools -> %s", len(request.messages), len(request.tools or []), doing)
    if request.stream:
        return StreamingResponse(chunks(request, message), media_type="text/event-stream")
    return JSONResponse(completion(request, message))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server that plays a scripted agent's part.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--think", type=float, default=0.0, metavar="SECONDS", help="before each answer (default: %(default)s)"
    )
    args = parser.parse_args()
    app.state.think_seconds = args.think
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    uvicorn.run(app, host=args.host, port=args.port, access_log=False)


if __name__ == "__main__":
    main()
