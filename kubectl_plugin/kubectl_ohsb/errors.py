"""Errors with a text for people, instead of a stack trace."""

from typing import override

import click

from kubectl_ohsb.printing import visible


class Refusal(click.ClickException):
    """The command cannot do what is asked. The text says why, and the remedy. The exit code is 1."""

    @override
    def format_message(self) -> str:
        """The text as it is printed: what it quotes cannot control the terminal."""
        return "\n".join(map(visible, self.message.split("\n")))
