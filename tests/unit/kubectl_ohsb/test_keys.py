"""Command lines that are refused before any cluster is asked."""

import click
import pytest
from click.testing import CliRunner

from kubectl_ohsb.keys import keys
from kubectl_ohsb.main import ohsb


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "k"), "--owner"),
        (("create", "k", "--owner", "a", "--running", "-1"), "'--running'"),
        (("create", "k", "--owner", "a", "--expires", "2020-01-01T00:00:00Z"), "'--expires'"),
        (("create", "k", "--owner", "a", *["--image", "ghcr.io/a/*"] * 257), "'--image'"),
        (("create", "Key", "--owner", "a"), "'NAME'"),
        (("set", "k"), "Nothing to change"),
        (("set", "k", "--image", "ghcr.io/a/*", "--all-images"), "--all-images"),
        (("rotate", "k", "--keep-old", "soon"), "'--keep-old'"),
        (("revoke", "../k"), "'NAME'"),
        (("list", "-o", "xml"), "'--output'"),
        (("list", "--namespace", "A/b"), "'--namespace'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(ohsb, ["keys", *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(("name", "command"), keys.commands.items())
def test_every_option_is_explained(name: str, command: click.Command) -> None:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert options
    assert [option.name for option in options if not option.help] == []
    done = CliRunner().invoke(ohsb, ["keys", name, "--help"])
    assert done.stdout.startswith(f"Usage: ohsb keys {name} [OPTIONS]")
