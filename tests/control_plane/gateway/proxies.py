"""nginx and HAProxy from Debian, with the configurations of the documentation, in front of gateways on loopback."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.proxy.backend import temporary_paths
from control_plane.resident import resident
from control_plane.waiting import eventually
from local_cluster.control_plane import DIE_WITH_PARENT
from local_cluster.daemons import PATH
from local_cluster.packages import unpack
from local_cluster.paths import ROOT, cache_dir
from local_cluster.pki import Identity, Pki
from local_cluster.ports import free_port
from local_cluster.progress import Progress

CONFIGURATIONS = ROOT / "examples" / "proxies"
ENDING = ("nginx.conf", "haproxy.cfg")
"""They end TLS."""
PASSING = ("nginx-passthrough.conf", "haproxy-passthrough.cfg")
"""They pass it on."""

HOST = "runtime.example.com"
DOMAIN = "boxes.example.com"

_ADDRESS = "10.0.3.4"
"""The gateway's in the configurations."""
_STREAM = "usr/lib/nginx/modules/ngx_stream_module.so"


def certificate(directory: Path) -> Pki:
    """For the hosts of the configurations and 127.0.0.1, as `door`."""
    pki = Pki(directory)
    pki.create([Identity("door", "door", hosts=("127.0.0.1", HOST, f"*.{DOMAIN}"))])
    return pki


@dataclass(frozen=True)
class Door:
    """A proxy that serves, with the name of its configuration."""

    name: str
    port: int
    pid: int
    directory: Path
    """All that it writes."""

    @property
    def url(self) -> str:
        """By its address: clients name the host themselves."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    @property
    def resident(self) -> int:
        """Bytes of memory of its processes that are resident."""
        return sum(resident(pid) for pid in self._pids)

    @property
    def spilled(self) -> list[str]:
        """Open files that are no logs, also deleted ones."""
        files: list[str] = []
        for pid in self._pids:
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    files.append(str(fd.readlink()))
        return [file for file in files if str(self.directory) in file and ".log" not in file]

    @property
    def log(self) -> str:
        """All that it has logged."""
        return "".join(path.read_text(errors="replace") for path in self.directory.glob("*.log"))


@asynccontextmanager
async def door(
    name: str, directory: Path, gateway_port: int, pki: Pki, changes: Mapping[str, str] | None = None
) -> AsyncGenerator[Door]:
    """The proxy with this configuration, in front of the gateway on this port of loopback.

    `changes` are further texts to replace in the configuration.
    """
    port = free_port()
    command, environment = _prepared(name, directory, port, gateway_port, pki, changes or {})
    log = directory / "output.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *DIE_WITH_PARENT,
            *command,
            env=environment,
            stdout=output,
            stderr=output,
        )
    found = Door(name, port, process.pid, directory)

    async def serves() -> bool:
        assert process.returncode is None, found.log
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(serves)
        yield found
        assert process.returncode is None, found.log
    finally:
        if process.returncode is None:
            process.terminate()  # nginx's workers end only with it
        await process.wait()


def _prepared(
    name: str, directory: Path, port: int, gateway_port: int, pki: Pki, changes: Mapping[str, str]
) -> tuple[list[str | Path], dict[str, str]]:
    """Command and environment; writes the configuration."""
    directory.mkdir()
    bundle = directory / "bundle.pem"
    bundle.write_bytes(pki.certificate("door").read_bytes() + pki.key("door").read_bytes())
    stream = _files("libnginx-mod-stream")
    own = {
        "/var/log/nginx": str(directory),
        "worker_processes auto": "worker_processes 1",
        "include /etc/nginx/modules-enabled/*.conf;": f"load_module {stream}/{_STREAM};",
        "\nhttp {": f"\nhttp {{ {temporary_paths(directory)}",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "/etc/nginx/tls/fullchain.pem": str(pki.certificate("door")),
        "/etc/nginx/tls/key.pem": str(pki.key("door")),
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/runtime.pem": str(bundle),
        f"{_ADDRESS}:443": f"127.0.0.1:{gateway_port}",
        f"{_ADDRESS}:80": f"127.0.0.1:{gateway_port}",
    }
    text = (CONFIGURATIONS / name).read_text()
    for old, new in own.items():
        text = text.replace(old, new)
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    assert _ADDRESS not in text
    configuration = directory / name
    configuration.write_text(text)
    if name.startswith("nginx"):
        files, program = stream, "nginx"
        arguments = ["-p", directory, "-e", directory / "start.log", "-g", f"daemon off; pid {directory}/pid;", "-c"]
    else:
        files, program = _files("haproxy"), "haproxy"
        arguments = ["-db", "-f"]
    unpacked = files / "usr" / "sbin" / program
    found = unpacked if unpacked.exists() else shutil.which(program, path=PATH)
    assert found is not None
    libraries = ":".join(map(str, files.glob("usr/lib/*-linux-gnu*")))
    return [found, *arguments, configuration], {"PATH": PATH, "LD_LIBRARY_PATH": libraries}


def _files(package: str) -> Path:
    return unpack(package, cache_dir() / "apt.log", Progress(), libraries=True)
