"""Options that several commands have, as click decorators."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, override

import click
from pydantic import ValidationError

from kubectl_ohsb import texts
from kubectl_ohsb.connection import Target
from kubectl_ohsb.texts import Given
from sandbox_common.api_keys import Limits, Policy

type Command = Callable[..., None]


class Text[T](click.ParamType[T]):
    """The result of `read` for the text. Its ValueError becomes a usage error that names the option."""

    def __init__(self, metavar: str, read: Callable[[str], T]) -> None:
        self.name = metavar
        self._read = read

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


OWNER = Text("TEXT", texts.owner)
NEW_NAME = Text("NAME", texts.new_name)
LIST_NAME = Text("NAME", texts.list_name)
NAME = Text("NAME", texts.name)
IMAGE = Text("PATTERN", texts.image)
DURATION = Text("DURATION", texts.duration)
DAY = Text("DATE", texts.day)

_METAVARS = {"resource_factor": "1|2|4|8", "life_seconds": "DURATION"}


def expiry(*, never: bool = False, default: str = "") -> Callable[[Command], Command]:
    """`--expires`, as `expires`: Given or None. `never` also allows that word. `default` describes None."""

    def read(text: str) -> Given[datetime]:
        return Given(None) if never and text == "never" else Given(texts.expiry(text, datetime.now(UTC)))

    ways = "A duration from now, such as 30d, or a time such as 2030-01-31T12:00:00Z"
    return click.option(
        "--expires",
        type=Text("TIME", read),
        help=f"When the key expires. {ways}{', or never' if never else ''}.{default and f' Default: {default}.'}",
    )


def policy(command: Command) -> Command:
    """The options of limits, images and classes, as `limits` (only the given ones), `images` and `classes`."""

    @functools.wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> None:
        given = {field: kwargs.pop(field) for field in Limits.model_fields}
        limits = {field: limit.value for field, limit in given.items() if limit is not None}
        for field, option in (("images", "--image"), ("classes", "--class")):
            _check(field, option, kwargs[field])
        command(*args, limits=limits, **kwargs)

    images = "Pattern of allowed images; can be repeated."
    classes = "Allowed SandboxClass; can be repeated. The first is the default."
    gathered = click.option("--class", "classes", multiple=True, type=NAME, help=classes)(gathered)
    gathered = click.option("--image", "images", multiple=True, type=IMAGE, help=images)(gathered)
    for field, info in reversed(Limits.model_fields.items()):
        option = f"--{field.removesuffix('_seconds').replace('_', '-')}"
        read = functools.partial(_limit, field)
        metavar = _METAVARS.get(field, "NUMBER")
        gathered = click.option(option, field, type=Text(metavar, read), help=info.description)(gathered)
    return gathered


def _check(field: str, option: str, values: tuple[str, ...]) -> None:
    try:
        Policy.model_validate({field: values})
    except ValidationError as error:
        raise click.BadParameter(texts.message(error), param_hint=f"'{option}'") from None


def _limit(field: str, text: str) -> Given[int]:
    return Given(texts.limit(field, text))


def target(command: Command) -> Command:
    """The options that choose cluster and namespace, as `target`. They are kubectl's."""

    @functools.wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> None:
        command(*args, target=target_of(kwargs), **kwargs)

    gathered = click.option("--kubeconfig", type=click.Path(), help="Kubeconfig file, like kubectl's.")(gathered)
    gathered = click.option("--context", metavar="NAME", help="Context of the kubeconfig.")(gathered)
    return click.option("-n", "--namespace", type=NAME, help="Namespace. Default: that of the context.")(gathered)


def target_of(parameters: dict[str, Any]) -> Target:
    """Take the values of `target`'s options out of a command's parameters."""
    return Target(*(parameters.pop(name, None) for name in ("namespace", "context", "kubeconfig")))


def output(command: Command, *more: str) -> Command:
    """`--output`, as `output`: a table, JSON, YAML, or `more` formats."""
    choice = click.Choice(["table", "json", "yaml", *more])
    return click.option("-o", "--output", type=choice, default="table", show_default=True, help="Output format.")(
        command
    )


def output_with_csv(command: Command) -> Command:
    """The same, with CSV."""
    return output(command, "csv")


def output_with_wide(command: Command) -> Command:
    """The same, with a table whose cells are not cut."""
    return output(command, "wide")
