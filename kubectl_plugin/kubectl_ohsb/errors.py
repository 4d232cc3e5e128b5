"""Errors with a text for people, instead of a stack trace."""

import click


class Refusal(click.ClickException):
    """The command cannot do what is asked. The text says why, and the remedy. The exit code is 1."""
