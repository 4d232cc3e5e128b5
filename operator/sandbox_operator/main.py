"""The command `sandbox-operator`."""

import logging
import sys

import structlog
import uvloop
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError
from pydantic_settings import CliApp

from sandbox_common import collector, core_dumps, logs
from sandbox_common.keys import MasterKeyError
from sandbox_operator.app import run
from sandbox_operator.settings import Settings

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def main() -> None:
    """Run the operator. Exits with 1 if it cannot start or one of its parts fails."""
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        sys.exit(f"sandbox-operator: {error}")
    logs.configure(settings.log_level, settings.log_format)
    # kopf reports each handled event at INFO.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    core_dumps.forbid()
    collector.postpone()
    try:
        uvloop.run(run(settings))
    except (MasterKeyError, ConfigException, OSError) as error:
        _log.error("cannot start", error=str(error))
        sys.exit(1)
    except Exception:
        _log.exception("died")
        sys.exit(1)
