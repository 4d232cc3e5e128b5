"""Structured logs on standard output, for the project's own loggers and for those of its libraries."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from io import TextIOBase
from typing import Any, Literal, TextIO

import orjson
import structlog

LogFormat = Literal["json", "console"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def configure(level: LogLevel, format_: LogFormat, stream: TextIO | TextIOBase | None = None) -> None:
    """Send all logs through one handler: one JSON object a line, or colored text for people.

    `stream` is standard output by default. Without this call, structlog would write to it, between a command's data.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if format_ == "json"
        else [_console()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def line_renderer(format_: LogFormat) -> Callable[[MutableMapping[str, Any]], bytes]:
    """A function that formats events as lines, for logs that are too frequent for loggers. Events need all their keys.

    The lines look like those of loggers, and end with a newline.
    """
    if format_ == "json":
        return lambda event: orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    console = _console()
    return lambda event: f"{console(None, '', event)}\n".encode()


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
