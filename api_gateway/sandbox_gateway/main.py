"""The command `sandbox-gateway`."""

import asyncio
import signal
import sys

import structlog
import uvloop
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError
from pydantic_settings import CliApp

from sandbox_common import collector, core_dumps, logs
from sandbox_common.keys import MasterKeyError
from sandbox_gateway import gateway
from sandbox_gateway.process.certificates import TlsError
from sandbox_gateway.process.stdout import LogStream, write_stdout
from sandbox_gateway.settings import Settings
from sandbox_gateway.workers.lifeline import end_with_parent
from sandbox_gateway.workers.supervisor import Supervisor, WorkerError

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT. Exit with 2 for a wrong setting, with 1 when it cannot serve."""
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for entry in error.errors():
            field = "_".join(str(part) for part in entry["loc"])
            print(f"sandbox-gateway: {field}: {entry['msg']}", file=sys.stderr)
        print("sandbox-gateway: see --help", file=sys.stderr)
        sys.exit(2)
    logs.configure(settings.log_level, settings.log_format, LogStream(write_stdout))
    core_dumps.forbid()
    collector.postpone()
    try:
        uvloop.run(_run(settings))
    except* (MasterKeyError, TlsError, ConfigException, OSError, WorkerError) as group:
        for error in group.exceptions:
            _log.error("gateway cannot serve", error=str(error))
        sys.exit(1)


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.worker_socket is not None:
        structlog.contextvars.bind_contextvars(worker=settings.worker_socket.stem)
        await end_with_parent(stop)
    if settings.worker_socket is None and settings.workers > 1:
        await Supervisor(settings, (sys.executable, *sys.argv)).run(stop)
    else:
        await gateway.run(settings, stop)
