"""The command `kubectl_complete-ohsb`, which kubectl runs to complete words of `kubectl ohsb`."""

import sys

from click.shell_completion import ShellComplete

from kubectl_ohsb.main import ohsb

_FILES = 0
_NO_FILES = 4
"""As in Cobra's `ShellCompDirective`: whether the shell may add names of files."""


def main() -> None:
    """Print completions. The arguments are the words of the command line; the last one is to be completed."""
    *before, incomplete = sys.argv[1:] or [""]
    items = ShellComplete(ohsb, {}, "kubectl ohsb", "_KUBECTL_OHSB_COMPLETE").get_completions(before, incomplete)
    files = any(item.type == "file" for item in items)
    for item in items:
        if item.type == "plain":
            print(f"{item.value}\t{item.help}" if item.help else item.value)
    print(f":{_FILES if files else _NO_FILES}")
