"""Structured logs on standard output, for the project's own loggers and for those of its libraries."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import orjson
import structlog

LogFormat = Literal["json", "console"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


def configure(level: LogLevel, format_: LogFormat, stream: TextIO | None = None) -> None:
    """Send everything through one handler: a JSON object a line, or coloured text for a person.

    `stream` is standard output unless given. Without this call structlog writes there too, in between a command's data.
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
    """What makes lines of events for those who log too much for loggers; an event needs all its keys.

    Lines look like those of loggers, and end with a newline.
    """
    if format_ == "json":
        return lambda event: orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    console = _console()
    return lambda event: f"{console(None, '', event)}\n".encode()


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
