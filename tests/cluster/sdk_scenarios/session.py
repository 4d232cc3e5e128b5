# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""A sandbox as a client of the SDK has it, and agents in it whose model plays what it is sent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from openhands.sdk import LLM, Conversation, RemoteConversation
from openhands.sdk.event import ObservationEvent
from openhands.sdk.workspace import RemoteWorkspace
from openhands.tools.preset.default import get_default_agent

from cluster.scripts import script


def seen(conversation: RemoteConversation) -> list[str]:
    """What its tools have shown the agent, in order; of a terminal what the command printed."""
    shown = [event.observation for event in conversation.state.events if isinstance(event, ObservationEvent)]
    texts = ["".join(part.text for part in one.to_llm_content if part.type == "text") for one in shown]
    return [text.partition("\n[The command completed")[0] for text in texts]


def status(conversation: RemoteConversation) -> str:
    return conversation.state.refresh_from_server()["execution_status"]


_KEPT: list[RemoteConversation] = []


def keep(conversation: Any) -> RemoteConversation:
    """Let it end with the process: closing one waits five seconds for its WebSocket's thread."""
    assert isinstance(conversation, RemoteConversation)
    _KEPT.append(conversation)
    return conversation


@dataclass(frozen=True)
class Session:
    """One sandbox."""

    workspace: RemoteWorkspace
    model: str
    """URL of the scripted model, as sandboxes reach it."""
    opens: Callable[..., RemoteWorkspace]
    """Makes another workspace with the fields given."""
    ask: Callable[[str], None]
    """Ask whoever runs this program to do something, and wait until it is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.workspace.__exit__(*error)

    def open(self, **fields: Any) -> "Session":
        """Another sandbox, or this one again."""
        return replace(self, workspace=self.opens(**fields))

    def llm(self, **fields: Any) -> LLM:
        return LLM(usage_id="agent", model="openai/scripted", base_url=self.model, api_key="any", **fields)

    def converse(self, *steps: dict[str, Any], agent: Any = None, **options: Any) -> RemoteConversation:
        """A conversation in which the agent has played these steps, if there are any."""
        agent = agent or get_default_agent(llm=self.llm(), cli_mode=True)
        conversation = keep(Conversation(agent=agent, workspace=self.workspace, visualizer=None, **options))
        if steps:
            self.play(conversation, *steps)
        return conversation

    def play(self, conversation: RemoteConversation, *steps: dict[str, Any]) -> None:
        """Let the agent play these steps."""
        conversation.send_message(script(*steps))
        conversation.run(timeout=300)

    def run(self, command: str) -> str:
        """Standard output of a command that succeeds, in the working directory."""
        done = self.workspace.execute_command(command, cwd=self.workspace.working_dir, timeout=300)
        assert done.exit_code == 0, done
        return done.stdout
