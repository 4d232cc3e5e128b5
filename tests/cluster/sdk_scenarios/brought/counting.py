# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""A tool that an agent server imports: it counts the lines of a file."""

from collections.abc import Sequence
from pathlib import Path

from openhands.sdk import Action, Observation, ToolDefinition
from openhands.sdk.tool import ToolExecutor, register_tool


class CountingAction(Action):
    path: str


class CountingObservation(Observation):
    pass


class CountingExecutor(ToolExecutor[CountingAction, CountingObservation]):
    def __call__(self, action: CountingAction, conversation: object = None) -> CountingObservation:
        lines = Path(action.path).read_text().splitlines()
        return CountingObservation.from_text(f"{len(lines)} lines")


class CountingTool(ToolDefinition[CountingAction, CountingObservation]):
    @classmethod
    def create(cls, conv_state: object = None, **params: object) -> Sequence[ToolDefinition]:
        return [
            cls(
                description="Count the lines of a file.",
                action_type=CountingAction,
                observation_type=CountingObservation,
                executor=CountingExecutor(),
            )
        ]


register_tool("CountingTool", CountingTool)
