# pyright: basic, reportMissingImports=false
"""The SDK's client of `bench.warm_round`. A Python that has the SDK runs it, with URL, IMAGE, MODEL and RATE.

The API key is in RUNTIME_API_KEY. A line of standard input with a count and a number of conversations is a round; an
empty line stops its sandboxes. Each is answered by a line of JSON.
"""

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import httpx
from openhands.sdk import LLM, Conversation
from openhands.sdk.event import MessageEvent
from openhands.tools.preset.default import get_default_agent
from openhands.workspace import APIRemoteWorkspace
from openhands.workspace.remote_api import workspace as module

_SEEN = threading.local()


def _watch() -> None:
    """Note when each request of a thread was answered."""
    send, urlopen = httpx.Client.send, module.urlopen

    def noted(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        answer = send(self, request, **options)
        if hasattr(_SEEN, "moments"):
            _SEEN.moments[_step(request.method, request.url.path)] = time.monotonic()
        return answer

    def opened(*arguments: Any, **options: Any) -> Any:
        answer = urlopen(*arguments, **options)
        _SEEN.moments["health"] = time.monotonic()
        return answer

    httpx.Client.send, module.urlopen = noted, opened


def _step(method: str, path: str) -> str:
    if path.endswith("/start"):
        return "start"
    if "/sessions/" in path:
        return "look" if "start" in _SEEN.moments else "find"
    return "command" if method == "POST" else "output"


class Client:
    """Starts sandboxes of one image, and keeps them until a round is over."""

    def __init__(self, url: str, image: str, model: str, rate: float) -> None:
        self._options = {
            "runtime_api_url": url,
            "runtime_api_key": os.environ["RUNTIME_API_KEY"],
            "server_image": image,
        }
        self._model, self._rate = model, rate
        self._open: list[APIRemoteWorkspace] = []
        self._conversations: list[Any] = []

    def start(self, due: float) -> tuple[APIRemoteWorkspace, dict[str, float]]:
        """A sandbox whose first command has been answered, and the seconds of each step until then."""
        time.sleep(max(due - time.monotonic(), 0))
        _SEEN.moments = {}
        began = time.monotonic()
        workspace = APIRemoteWorkspace(**self._options)
        done = workspace.execute_command("echo $((6 * 7))")
        assert done.stdout.strip() == "42", done
        moments = [began, *_SEEN.moments.values()]
        seconds = [after - before for before, after in pairwise(moments)]
        return workspace, dict(zip(_SEEN.moments, seconds, strict=True))

    def first_event(self, workspace: APIRemoteWorkspace) -> float:
        """Seconds from `send_message` until the WebSocket has brought the message's event."""
        told = threading.Event()
        llm = LLM(usage_id="agent", model="openai/scripted", base_url=self._model, api_key="any")
        conversation = Conversation(
            agent=get_default_agent(llm=llm, cli_mode=True),
            workspace=workspace,
            visualizer=None,
            callbacks=[lambda event: told.set() if isinstance(event, MessageEvent) else None],
        )
        self._conversations.append(conversation)
        began = time.monotonic()
        conversation.send_message("Hello.")
        assert told.wait(30), "no event"
        return time.monotonic() - began

    def round(self, count: int, conversations: int) -> dict[str, Any]:
        """`count` starts, `RATE` a second, whether or not the ones before have been answered."""
        began = time.monotonic()
        with ThreadPoolExecutor(count) as threads:
            found = list(threads.map(self.start, [began + number / self._rate for number in range(count)]))
        self._open = [workspace for workspace, _ in found]
        return {
            "starts": [steps for _, steps in found],
            "events": [self.first_event(workspace) for workspace in self._open[:conversations]],
            "runtimes": [workspace._runtime_id for workspace in self._open],
        }

    def stop(self) -> None:
        """End the round's sandboxes."""
        # Closing waits five seconds for the WebSocket's thread.
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda conversation: conversation.close(), self._conversations))
        self._conversations.clear()
        for workspace in self._open:
            workspace.cleanup()


def main() -> None:
    """Do the rounds."""
    url, image, model, rate = sys.argv[1:]
    # The SDK logs to standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    _watch()
    client = Client(url, image, model, float(rate))
    for line in sys.stdin:
        answer = client.round(*map(int, line.split())) if line.strip() else client.stop()
        print(json.dumps(answer), file=answers, flush=True)


main()
