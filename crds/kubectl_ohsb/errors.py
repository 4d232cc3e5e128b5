"""What a person is told instead of a stack trace."""


class Refusal(Exception):
    """The command cannot do what is asked; the text says why, and what to do about it."""
