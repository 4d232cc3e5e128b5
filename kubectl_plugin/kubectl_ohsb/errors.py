"""What a person is told instead of a stack trace."""

import click


class Refusal(click.ClickException):
    """The command cannot do what is asked; the text says why, and what to do about it. Ends the process with 1."""
