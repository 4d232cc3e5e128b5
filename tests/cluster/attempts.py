"""What a hostile program in a sandbox tries. It needs only Python's standard library, and runs anywhere:

    python attempts.py --groups kernel,files,network --target kubelet=198.18.0.2:10250

Each attempt gives one JSON line: its `outcome`, what it was stopped or limited `by`, and a `detail`. Outcomes:

- stopped: the attempt itself failed.
- contained: it succeeded, but its effect stays in the pod, or has a limit.
- open: it reaches beyond the pod.
- failed: the attempt has a bug, and says nothing.

No attempt breaks anything if it succeeds: what would is opened and not written, written with its own content, or called
with arguments that are checked after the right to call. All that an attempt takes is bounded in number and time.
"""

import argparse
import ctypes
import errno
import fcntl
import json
import os
import platform
import re
import resource
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

STOPPED, CONTAINED, OPEN, FAILED = "stopped", "contained", "open", "failed"
MIB = 1 << 20


@dataclass(frozen=True)
class Aims:
    """What the attempts are aimed at, and their bounds."""

    targets: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Addresses and ports that a sandbox should not reach, by name."""
    hold: float = 2.0
    """Seconds for which an exhaustion goes on once its bound is reached."""
    processes: int = 3000
    memory_mib: int = 4096
    disk_mib: int = 256
    log_mib: int = 100
    files: int = 10_000
    connections: int = 500
    host: str = ""
    """Host header of requests to the gateway."""


@dataclass(frozen=True)
class Result:
    outcome: str
    by: str
    detail: str = ""


type Try = Callable[[Aims], Result]

ATTEMPTS: dict[str, dict[str, Try]] = {"kernel": {}, "files": {}, "network": {}, "exhaustion": {}, "flood": {}}
"""By group and name. The attempts of `network` run at the same time, all others one after the other."""
_PATIENCE = 20.0
"""Seconds after which an attempt without a result is ended. What holds on has its time in addition."""


def attempt(group: str, name: str) -> Callable[[Try], Try]:
    """Make a function an attempt."""

    def known(made: Try) -> Try:
        ATTEMPTS[group][name] = made
        return made

    return known


# --- System calls

_ARM = platform.machine() in {"aarch64", "arm64"}
_CALLS = {
    # name: number on x86_64, number on aarch64
    "mount": (165, 40),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "acct": (163, 89),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "init_module": (175, 105),
    "clone": (56, 220),
    "clock_settime": (227, 112),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "finit_module": (313, 273),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "fsopen": (430, 430),
    "syslog": (103, 116),
    "ptrace": (101, 117),
}
_DENIALS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})


def call(name: str, *arguments: Any) -> int:
    """A system call, past everything that the C library does. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    given: int = libc.syscall(ctypes.c_long(_CALLS[name][_ARM]), *words)
    if given == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return given


def word(error: OSError) -> str:
    """EPERM and the like."""
    return (
        "time-out" if isinstance(error, TimeoutError) else errno.errorcode.get(error.errno or 0, type(error).__name__)
    )


@cache
def has_own_kernel() -> bool:
    """Whether gVisor's kernel, and not the node's, answers: it says that it was built at this time."""
    return "Sun Jan 10 15:06:54 PST 2016" in Path("/proc/version").read_text()


def reached_kernel(detail: str) -> Result:
    """It was permitted by the kernel."""
    return Result(CONTAINED, "gVisor", detail) if has_own_kernel() else Result(OPEN, "", detail)


def first_open(tries: Sequence[tuple[str, Callable[[], object]]]) -> Result:
    """Stopped only if each of these fails with an OSError; by what they fail, and which do not."""
    errors: dict[str, str] = {}
    reached: list[str] = []
    for name, one in tries:
        try:
            one()
            reached.append(name)
        except OSError as error:
            errors[name] = word(error)
    if reached:
        return reached_kernel(", ".join(reached))
    return Result(STOPPED, " ".join(sorted(set(errors.values()))), ", ".join(f"{n}: {e}" for n, e in errors.items()))


def permitted(name: str, *arguments: Any) -> None:
    """Raises OSError if a system call is denied. Every other error comes after the right to call was checked."""
    try:
        call(name, *arguments)
    except OSError as error:
        if error.errno in _DENIALS:
            raise


def writable(path: str) -> None:
    """Raises OSError if this cannot be opened for writing. Writes nothing."""
    os.close(os.open(path, os.O_WRONLY))


def rewritten(path: str) -> None:
    """Raises OSError if a file cannot be written with what it has."""
    content = Path(path).read_bytes()
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def scratch() -> Path:
    """A directory of its own, which a process can write."""
    path = Path("/tmp", f"attempts-{os.getpid()}")
    path.mkdir(exist_ok=True)
    return path


# --- Kernel


@attempt("kernel", "mount a file system")
def mounts(_: Aims) -> Result:
    place = bytes(scratch())
    bind, remount = 0x1000, 0x20
    return first_open(
        [
            ("tmpfs", partial(call, "mount", b"none", place, b"tmpfs", 0, None)),
            ("proc", partial(call, "mount", b"none", place, b"proc", 0, None)),
            ("bind", partial(call, "mount", b"/tmp", place, None, bind, None)),
            ("remount", partial(call, "mount", b"none", b"/proc/sys", None, bind | remount, None)),
            ("fsopen", partial(call, "fsopen", b"tmpfs", 0)),
        ]
    )


_NAMESPACES = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}


def _unshared(kind: str, _: Aims) -> Result:
    flag = _NAMESPACES[kind]

    def cloned() -> None:
        if call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0) == 0:
            os._exit(0)

    # clone has no flag for time.
    clone = [] if kind == "time" else [("clone", cloned)]
    return first_open([*clone, ("unshare", lambda: call("unshare", flag))])


for _kind in _NAMESPACES:
    attempt("kernel", f"make a namespace: {_kind}")(partial(_unshared, _kind))


@attempt("kernel", "enter a namespace of another process")
def enters(_: Aims) -> Result:
    def enter(pid: str, kind: str) -> None:
        file = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        try:
            call("setns", file, 0)
        finally:
            os.close(file)

    kinds = ("user", "mnt", "net", "pid", "ipc", "uts")
    pids = [pid for pid in _pids() if pid not in {str(os.getpid()), str(os.getppid())}][:8]
    return first_open([(f"{pid} {kind}", partial(enter, pid, kind)) for pid in pids for kind in kinds])


def _pids() -> list[str]:
    return sorted((path.name for path in Path("/proc").iterdir() if path.name.isdecimal()), key=int)


_STARTED_BY = "ATTEMPTS_STARTED_BY"


def _leave_root() -> None:
    """Become the user that has started a set-uid program, whose rights over other processes root does not have."""
    if os.geteuid() == 0:
        user = int(os.environ.get(_STARTED_BY, "0"))
        os.setresuid(user, user, user)


def _is_own(pid: str) -> bool:
    """Whether it was started by this program."""
    with suppress(OSError):
        return os.getsid(int(pid)) == os.getsid(0)
    return True


@attempt("kernel", "trace another process")
def traces(_: Aims) -> Result:
    seize, detach = 0x4206, 17
    _leave_root()
    errors: set[str] = set()
    traced: list[str] = []
    for pid in _pids():
        if _is_own(pid):
            continue
        try:
            call("ptrace", seize, int(pid), 0, 0)
        except OSError as error:
            errors.add(word(error))
            continue
        traced.append(pid)
        with suppress(OSError):
            call("ptrace", detach, int(pid), 0, 0)
    if traced:
        return Result(CONTAINED, "pod's PID namespace", f"{len(traced)} processes of its own user")
    return Result(STOPPED, " ".join(sorted(errors)) or "no other process")


@attempt("kernel", "see or signal processes of the node")
def sees_node(_: Aims) -> Result:
    daemons = re.compile(rb"(^|/)(kubelet|containerd|kube-apiserver|etcd|dockerd|systemd|crio)(\0|$)")
    seen = [pid for pid in _pids() if daemons.search(_read(f"/proc/{pid}/cmdline"))]
    if seen:
        return Result(OPEN, "", f"processes {', '.join(seen)}")
    return Result(STOPPED, "PID namespace", f"{len(_pids())} processes, all of the pod")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


@attempt("kernel", "signal the pod's first process")
def signals_first(_: Aims) -> Result:
    _leave_root()
    os.kill(1, 0)
    return Result(CONTAINED, "pod's PID namespace", "it has the same user")


@attempt("kernel", "open sysrq-trigger")
def sysrq(_: Aims) -> Result:
    return first_open([("/proc/sysrq-trigger", lambda: writable("/proc/sysrq-trigger"))])


@attempt("kernel", "write core_pattern")
def core_pattern(_: Aims) -> Result:
    return first_open([("core_pattern", lambda: rewritten("/proc/sys/kernel/core_pattern"))])


@attempt("kernel", "write other settings in /proc/sys")
def sysctls(_: Aims) -> Result:
    names = ("kernel/modprobe", "kernel/printk", "vm/overcommit_memory", "vm/panic_on_oom", "net/ipv4/ip_forward")
    paths = [f"/proc/sys/{name}" for name in (*names, "fs/binfmt_misc/register", "kernel/ns_last_pid")]
    return first_open([(path, partial(writable, path)) for path in paths])


@attempt("kernel", "write in /sys")
def sysfs(_: Aims) -> Result:
    names = ("kernel/uevent_helper", "power/state", "devices/system/cpu/cpu1/online", "kernel/mm/ksm/run")
    paths = [f"/sys/{name}" for name in (*names, "kernel/mm/transparent_hugepage/enabled")]
    return first_open([(path, partial(writable, path)) for path in paths])


@attempt("kernel", "change its cgroup, or make one with a release agent")
def cgroups(_: Aims) -> Result:
    root = Path("/sys/fs/cgroup")
    found = [path for path in (root, *_listed(root)) if (path / "cgroup.procs").exists() and not path.is_symlink()]
    tries: list[tuple[str, Callable[[], object]]] = [
        ("unified", partial(call, "mount", b"none", bytes(scratch()), b"cgroup2", 0, None))
    ]
    for directory in found:
        tries.append((f"{directory}/new", partial(_made_and_removed, directory / "attempt")))
        limits = (
            "release_agent",
            "notify_on_release",
            "cgroup.procs",
            "memory.limit_in_bytes",
            "memory.max",
            "pids.max",
        )
        tries += [
            (f"{directory / n}", partial(writable, str(directory / n))) for n in limits if (directory / n).exists()
        ]
    result = first_open(tries)
    return Result(result.outcome, result.by, result.detail if result.outcome == OPEN else f"{len(tries)} ways")


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _made_and_removed(path: Path) -> None:
    path.mkdir()
    path.rmdir()


@attempt("kernel", "lower its OOM score")
def oom_score(_: Aims) -> Result:
    path = Path("/proc/self/oom_score_adj")
    return first_open([("-999", lambda: path.write_text("-999")), ("-1", lambda: path.write_text("-1"))])


@attempt("kernel", "read the kernel's own memory and logs")
def kernel_reads(_: Aims) -> Result:
    def read(path: str) -> None:
        with Path(path).open("rb") as file:
            if not file.read(16):
                raise OSError(errno.ENODATA, "masked", path)

    def lists(path: str) -> None:
        if not [*Path(path).iterdir()]:
            raise OSError(errno.ENODATA, "masked", path)

    paths = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/dev/mem", "/dev/kmsg")
    directories = ("/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/bpf")
    read_all = 3
    return first_open(
        [
            *((path, partial(read, path)) for path in paths),
            *((path, partial(lists, path)) for path in directories),
            ("syslog", lambda: call("syslog", read_all, ctypes.create_string_buffer(4096), 4096)),
        ]
    )


@attempt("kernel", "load a kernel module")
def modules(_: Aims) -> Result:
    return first_open(
        [
            ("init_module", lambda: permitted("init_module", None, 0, b"")),
            ("finit_module", lambda: permitted("finit_module", -1, b"", 0)),
        ]
    )


@attempt("kernel", "bpf")
def bpf(_: Aims) -> Result:
    map_create, array = 0, 2
    attributes = ctypes.create_string_buffer(struct.pack("IIIII", array, 4, 4, 1, 0).ljust(128, b"\0"))
    return first_open([("a map", lambda: permitted("bpf", map_create, attributes, 128))])


@attempt("kernel", "perf_event_open")
def perf(_: Aims) -> Result:
    software, size = 1, 112
    event = ctypes.create_string_buffer(struct.pack("IIQ", software, size, 0).ljust(size, b"\0"))
    return first_open(
        [
            ("all processes", lambda: call("perf_event_open", event, -1, 0, -1, 0)),
            ("itself", lambda: call("perf_event_open", event, 0, -1, -1, 0)),
        ]
    )


@attempt("kernel", "keyrings of the kernel")
def keyrings(_: Aims) -> Result:
    get_keyring, session = 0, -3
    return first_open(
        [
            ("keyctl", lambda: call("keyctl", get_keyring, session, 1)),
            ("add_key", lambda: call("add_key", b"user", b"attempt", b"x", 1, -2)),
        ]
    )


@attempt("kernel", "userfaultfd")
def userfaultfd(_: Aims) -> Result:
    return first_open([(name, partial(call, "userfaultfd", flag)) for name, flag in (("any", 0), ("user mode", 1))])


@attempt("kernel", "io_uring")
def io_uring(_: Aims) -> Result:
    return first_open([("a ring", lambda: call("io_uring_setup", 4, ctypes.create_string_buffer(256)))])


def _sockets(*kinds: tuple[str, int, int, int]) -> Result:
    def made(family: int, kind: int, protocol: int) -> None:
        socket.socket(family, kind, protocol).close()

    return first_open([(name, partial(made, *arguments)) for name, *arguments in kinds])


@attempt("kernel", "raw and packet sockets")
def raw_sockets(_: Aims) -> Result:
    inet, inet6, packet = socket.AF_INET, socket.AF_INET6, 17
    return _sockets(
        ("raw", inet, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        ("raw, IPv6", inet6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        ("packet", packet, socket.SOCK_RAW, 0x0300),
    )


@attempt("kernel", "sockets to the hypervisor")
def vsock(_: Aims) -> Result:
    return _sockets(("vsock", 40, socket.SOCK_STREAM, 0))


@attempt("kernel", "change the network's interfaces")
def interfaces(_: Aims) -> Result:
    get_flags, set_flags = 0x8913, 0x8914

    def same_flags() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            flags = fcntl.ioctl(one, get_flags, struct.pack("16s24x", b"lo"))
            fcntl.ioctl(one, set_flags, flags)

    return first_open([("flags of lo", same_flags)])


@attempt("kernel", "open devices of the node")
def devices(_: Aims) -> Result:
    disks = [f"/dev/{path.name}" for path in _listed(Path("/sys/class/block"))]
    others = ("/dev/mem", "/dev/port", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control")
    found = [(path, partial(_opened, path)) for path in (*disks, *others)]
    result = first_open(found)
    return Result(result.outcome, result.by, result.detail if result.outcome == OPEN else f"{len(found)} devices")


def _opened(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


@attempt("kernel", "make device files")
def device_files(_: Aims) -> Result:
    place = scratch() / "device"
    first = next(iter(_listed(Path("/sys/class/block"))), None)
    major, minor = map(int, (_read(f"{first}/dev").decode() or "254:0").split(":"))

    def made(kind: int, *numbers: int) -> None:
        os.mknod(place, 0o600 | kind, os.makedev(*numbers))
        try:
            _opened(str(place))
        finally:
            place.unlink()

    memory = (1, 1)
    tries = [("a disk", partial(made, stat.S_IFBLK, major, minor)), ("memory", partial(made, stat.S_IFCHR, *memory))]
    return first_open(tries)


@attempt("kernel", "calls of administrators")
def privileged_calls(_: Aims) -> Result:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 8, 1).ljust(16, b"\0"))
    host = platform.node().encode()
    now = time.clock_gettime_ns(time.CLOCK_REALTIME)
    clock = ctypes.create_string_buffer(struct.pack("qq", *divmod(now, 10**9)))
    first_priority = os.sched_param(1)
    return first_open(
        [
            ("swapon", lambda: permitted("swapon", b"/nonexistent", 0)),
            ("acct", lambda: permitted("acct", b"/nonexistent")),
            ("reboot", lambda: permitted("reboot", 0, 0, 0, None)),
            ("sethostname", lambda: permitted("sethostname", host, len(host))),
            ("chroot", lambda: permitted("chroot", b"/")),
            ("pivot_root", lambda: permitted("pivot_root", b"/tmp", b"/tmp")),
            ("open_by_handle_at", lambda: permitted("open_by_handle_at", -100, handle, 0)),
            ("clock_settime", lambda: permitted("clock_settime", 0, clock)),
            ("real-time priority", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, first_priority)),
            ("a higher priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
        ]
    )


def _capabilities() -> str:
    found = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


@attempt("kernel", "become root")
def becomes_root(_: Aims) -> Result:
    if os.geteuid() == 0:
        return Result(CONTAINED, "dropped capabilities", f"root in the container, with capabilities {_capabilities()}")
    try:
        os.setuid(0)
    except OSError as error:
        by = {word(error)}
    else:
        return Result(OPEN, "", f"setuid, with capabilities {_capabilities()}")
    places = ("/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin")
    programs = [path for place in places for path in _listed(Path(place)) if _is_set_uid(path)]
    for program in programs:
        user = _effective_user(program)
        if user == 0:
            return Result(OPEN, "", f"{program} runs as root")
        by.add("no_new_privs")
    return Result(STOPPED, " ".join(sorted(by)), f"{len(programs)} set-uid programs")


def _is_set_uid(path: Path) -> bool:
    with suppress(OSError):
        found = path.stat()
        return bool(found.st_mode & stat.S_ISUID) and found.st_uid == 0 and stat.S_ISREG(found.st_mode)
    return False


def _effective_user(program: Path) -> int:
    """The user as which the kernel executes it; -1 if it ends too early to say. Most wait for their input."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as process:
        status = _read(f"/proc/{process.pid}/status").decode()
        with suppress(OSError):
            process.kill()
    users = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    return int(users[1]) if users else -1


@attempt("kernel", "give a file capabilities")
def file_capabilities(_: Aims) -> Result:
    path = scratch() / "capable"
    path.write_bytes(b"")
    everything = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0)
    try:
        return first_open([("security.capability", lambda: os.setxattr(path, b"security.capability", everything))])
    finally:
        path.unlink()


# --- Files and processes of the pod


@attempt("files", "find a token of a service account")
def tokens(_: Aims) -> Result:
    places = ("/var/run/secrets", "/run/secrets", "/etc/kubernetes", "/var/lib/kubelet", "/root/.kube")
    found: list[str] = []
    for place in (*places, str(Path.home() / ".kube")):
        for directory, _below, names in os.walk(place):
            found += [f"{directory}/{name}" for name in names if re.search("token|kubeconfig|^config$|key", name)]
    if found:
        return Result(OPEN, "", ", ".join(found[:5]))
    return Result(STOPPED, "nothing there", f"{len(places) + 1} directories")


@attempt("files", "reach the container runtime's socket")
def runtime_sockets(_: Aims) -> Result:
    def connected(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)

    names = ("containerd/containerd.sock", "docker.sock", "crio/crio.sock", "podman/podman.sock")
    paths = [f"{place}/{name}" for place in ("/run", "/var/run", "/host/run") for name in names]
    return first_open([(path, partial(connected, path)) for path in paths])


EXPECTED_SECRETS = frozenset({"OH_SESSION_API_KEYS_0", "SESSION_API_KEY", "OH_SECRET_KEY"})
_SECRET_NAME = re.compile(r"(?!GIT_CONFIG_KEY_).*(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)")
_SECRET_VALUE = re.compile(r"ohs_|eyJ[\w-]{8}|-----BEGIN|[0-9a-fA-F]{32}")


@attempt("files", "find keys in the environment of its own container")
def own_environment(_: Aims) -> Result:
    _leave_root()
    entries = {
        entry for pid in _pids() if _in_own_container(pid) for entry in _read(f"/proc/{pid}/environ").split(b"\0")
    }
    pairs = [entry.decode(errors="replace").partition("=") for entry in entries]
    secret = {name for name, _, value in pairs if _SECRET_NAME.match(name) or _SECRET_VALUE.search(value)}
    if more := secret - EXPECTED_SECRETS:
        return Result(OPEN, "", ", ".join(sorted(more)))
    # Nobody else's: their values are those of this sandbox alone.
    return Result(CONTAINED, "keys of this sandbox only", ", ".join(sorted(secret)) or "none")


def _in_own_container(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    return False


@attempt("files", "read memory, environment and files of side containers")
def side_containers(_: Aims) -> Result:
    _leave_root()
    errors: set[str] = set()
    read: list[str] = []
    names: set[str] = set()
    for pid in _pids():
        if _in_own_container(pid):
            continue
        for what in ("environ", "mem", "root"):
            try:
                path = Path(f"/proc/{pid}/{what}")
                if what == "root":
                    next(path.iterdir(), None)
                elif what == "mem":
                    path.open("rb").close()
                else:
                    names |= {entry.partition(b"=")[0].decode() for entry in path.read_bytes().split(b"\0")} - {""}
                read.append(f"{what} of {pid}")
            except OSError as error:
                errors.add(word(error))
    if read:
        return Result(
            CONTAINED, "pod's PID namespace", f"{', '.join(read)}; {', '.join(sorted(names - {*os.environ}))}"
        )
    return Result(STOPPED, " ".join(sorted(errors)) or "no other process")


@attempt("files", "write the termination log, which no limit counts")
def termination_log(_: Aims) -> Result:
    paths = ("/root/.termination-log", "/dev/termination-log")
    result = first_open([(path, partial(writable, path)) for path in paths])
    # The file is on the node's disk, whichever kernel the pod has.
    return Result(OPEN, "", result.detail) if result.outcome != STOPPED else result


@attempt("files", "write to the image that brings the agent server")
def image_volume(_: Aims) -> Result:
    def made() -> None:
        path = Path("/oh/attempt")
        path.write_bytes(b"")
        path.unlink()

    tries = [("a new file", made), ("its Python", lambda: writable("/oh/any/bin/python"))]
    return first_open([*tries, ("its programs", lambda: writable("/oh/any/launch.py"))])


@attempt("files", "write to the image's own files")
def root_file_system(_: Aims) -> Result:
    errors: set[str] = set()
    for place in ("/usr/bin", "/etc", "/opt", "/"):
        path = Path(place, "attempt")
        try:
            path.write_bytes(b"")
            path.unlink()
        except OSError as error:
            errors.add(word(error))
        else:
            return Result(CONTAINED, "the container's own layer", place)
    return Result(STOPPED, " ".join(sorted(errors)))


LINKS = {
    "/workspace/attempt-relative": "../../../../../../../../etc/hostname",
    "/workspace/attempt-absolute": "/etc/hostname",
}
"""They stay, so that it can be tried whether a download follows them out of the pod."""


@attempt("files", "leave the volume by links")
def links(_: Aims) -> Result:
    place = Path("/workspace") if os.access("/workspace", os.W_OK) else scratch()
    for name, target in LINKS.items():
        if place == Path("/workspace"):
            Path(name).unlink(missing_ok=True)
            Path(name).symlink_to(target)

    def hard_link(path: str) -> None:
        new = place / "attempt-hard"
        os.link(path, new)
        new.unlink()

    def climbed() -> None:
        # The root of another process, and that of the pod's first process.
        for pid in _pids():
            if not _in_own_container(pid):
                next(Path(f"/proc/{pid}/root/var/lib/kubelet").iterdir(), None)

        up = os.open(place, os.O_DIRECTORY)
        try:
            root = os.open("../" * 40 + "var/lib/kubelet/pods", os.O_DIRECTORY, dir_fd=up)
            os.close(root)
        finally:
            os.close(up)

    return first_open(
        [
            ("hard link to /etc/passwd", lambda: hard_link("/etc/passwd")),
            ("hard link to /proc/1/environ", lambda: hard_link("/proc/1/environ")),
            ("up and to the kubelet's directory", climbed),
        ]
    )


# --- Network


def connects(name: str, aims: Aims) -> Result:
    """A connection that should not be possible."""
    address, port = aims.targets[name]
    return _connected([(f"{address} {port}", address, port)])


def _connected(ends: Sequence[tuple[str, str, int]], seconds: float = 2) -> Result:
    errors: set[str] = set()
    for name, address, port in ends:
        try:
            with socket.create_connection((address, port), timeout=seconds):
                return Result(OPEN, "", name)
        except OSError as error:
            errors.add(word(error))
    return Result(STOPPED, " ".join(sorted(errors)) or "nothing to try")


@attempt("network", "neighbours by their IPv6 link-local addresses")
def link_local(aims: Aims) -> Result:
    """Policies for IPv4 do not see them. The kernel knows the neighbours' MAC addresses after an attempt to connect."""
    for address, port in aims.targets.values():
        with suppress(OSError):
            socket.create_connection((address, port), timeout=0.3).close()
    interface = next(
        (line.split()[-1] for line in _read("/proc/net/if_inet6").decode().splitlines() if "lo" not in line), ""
    )
    if not interface:
        return Result(STOPPED, "no IPv6", "the pod has no IPv6 address")
    macs = {line.split()[3] for line in _read("/proc/net/arp").decode().splitlines()[1:]} - {"00:00:00:00:00:00"}
    ports = sorted({port for _, port in aims.targets.values()} | {22, 10250})
    ends = [(f"{mac} {port}", f"{_from_mac(mac)}%{interface}", port) for mac in sorted(macs) for port in ports]
    result = _connected(ends[:40], 0.3)
    return Result(result.outcome, result.by, result.detail or f"{len(macs)} neighbours, {len(ports)} ports")


def _from_mac(mac: str) -> str:
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    whole = [*parts[:3], 0xFF, 0xFE, *parts[3:]]
    return "fe80::" + ":".join(f"{whole[i]:02x}{whole[i + 1]:02x}" for i in range(0, 8, 2))


@attempt("network", "send data out by names that the cluster's DNS looks up")
def dns(_: Aims) -> Result:
    servers = re.findall(r"^nameserver\s+(\S+)", _read("/etc/resolv.conf").decode(), re.MULTILINE)
    answers: list[str] = []
    errors: set[str] = set()
    for server in servers:
        for kind, number in (("A", 1), ("TXT", 16)):
            try:
                answers.append(f"{kind}: {_looked_up(server, 'data-in-a-name.example.com', number)}")
            except OSError as error:
                errors.add(word(error))
    if answers:
        return Result(OPEN, "", ", ".join(answers))
    return Result(STOPPED, " ".join(sorted(errors)) or "no DNS server")


_CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}


def _looked_up(server: str, name: str, kind: int) -> str:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question = os.urandom(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(2)
        one.connect((server, 53))
        one.send(question)
        answer = one.recv(2048)
    code = answer[3] & 15
    return _CODES.get(code, str(code))


# --- Exhaustion


def _kept(aims: Aims) -> None:
    time.sleep(aims.hold)


def _as_memory(detail: str) -> Result:
    """gVisor keeps it in the memory of the container, which has a limit."""
    return Result(CONTAINED, "limit of memory", detail) if has_own_kernel() else Result(OPEN, "", detail)


@attempt("exhaustion", "processes")
def processes(aims: Aims) -> Result:
    # Of a small program, so that they do not reach the limit of memory first.
    children: list[int] = []
    deadline = time.monotonic() + (15 if has_own_kernel() else 60)
    try:
        while len(children) < aims.processes and time.monotonic() < deadline:
            children.append(os.posix_spawnp("sleep", ["sleep", "60"], os.environ))
        _kept(aims)
        return _as_memory(f"{len(children)} processes")
    except OSError as error:
        _kept(aims)
        return Result(CONTAINED, word(error), f"after {len(children)}")
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


@attempt("exhaustion", "memory")
def memory(aims: Aims) -> Result:
    # The kernel ends the largest process of the container, which is this one.
    child = os.fork()
    if child == 0:
        held: list[bytearray] = []
        with suppress(MemoryError):
            for _ in range(aims.memory_mib // 16):
                block = bytearray(16 * MIB)
                block[:: resource.getpagesize()] = b"x" * (16 * MIB // resource.getpagesize())
                held.append(block)
        time.sleep(aims.hold)
        os._exit(0 if len(held) * 16 >= aims.memory_mib else 3)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        _kept(aims)
        return Result(CONTAINED, signal.Signals(os.WTERMSIG(status)).name, "the process that allocates is killed")
    if os.waitstatus_to_exitcode(status) == 3:
        return Result(CONTAINED, "ENOMEM")
    return Result(OPEN, "", f"{aims.memory_mib} MiB")


@attempt("exhaustion", "shared memory")
def shared_memory(aims: Aims) -> Result:
    path = Path("/dev/shm/attempt")
    try:
        written = _filled(path, 128)
        _kept(aims)
        return Result(CONTAINED, "limit of memory", f"{written} MiB")
    except OSError as error:
        _kept(aims)
        return Result(CONTAINED, word(error), f"after {path.stat().st_size // MIB} MiB")
    finally:
        path.unlink(missing_ok=True)


def _filled(path: Path, mib: int) -> int:
    block = b"x" * MIB
    with path.open("wb", buffering=0) as file:
        for _ in range(mib):
            file.write(block)
    return mib


@attempt("exhaustion", "inodes")
def inodes(aims: Aims) -> Result:
    place = scratch()
    paths = [place / str(number) for number in range(aims.files)]
    try:
        for path in paths:
            path.touch()
        _kept(aims)
    except OSError as error:
        return Result(CONTAINED, word(error))
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    return Result(OPEN, "", f"{aims.files} files")


@attempt("exhaustion", "file descriptors")
def descriptors(aims: Aims) -> Result:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files: list[int] = []
    try:
        for _ in range(aims.files):
            files.append(os.open("/dev/null", os.O_RDONLY))
        _kept(aims)
    except OSError as error:
        _kept(aims)
        return Result(CONTAINED, word(error), f"after {len(files)}")
    # The kernel counts them as memory of the container, and a process has a limit.
    return Result(CONTAINED, "RLIMIT_NOFILE", f"{len(files)} open, the limit of a process is {hard}")


@attempt("exhaustion", "output that fills the node's disk")
def output(aims: Aims) -> Result:
    """The output of the container's first process, which the container runtime writes to a file of the node."""
    _leave_root()
    try:
        file = os.open(f"/proc/{_top_of_container()}/fd/1", os.O_WRONLY)
    except OSError as error:
        return Result(STOPPED, word(error))
    line = b"." * 4095 + b"\n"
    deadline = time.monotonic() + 10
    written = 0
    while written < aims.log_mib * MIB and time.monotonic() < deadline:
        written += os.write(file, line)
    _kept(aims)
    return Result(OPEN, "", f"{written // MIB} MiB")


def _top_of_container() -> str:
    """The first process of this container, whose output is that of the container."""
    return next(pid for pid in _pids() if _in_own_container(pid))


@attempt("exhaustion", "processor time")
def processor(aims: Aims) -> Result:
    number = 2 * (os.cpu_count() or 1)
    children: list[int] = []
    for _ in range(number):
        child = os.fork()
        if child == 0:
            end = time.monotonic() + 2 * aims.hold
            while time.monotonic() < end:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return Result(CONTAINED, "CPU shares", f"{number} busy processes")


@attempt("exhaustion", "disk")
def disk(aims: Aims) -> Result:
    """The last one: what stops it is the kubelet, which evicts the pod some seconds later."""
    path = Path("/tmp/attempt-disk")
    try:
        _filled(path, aims.disk_mib)
    except OSError as error:
        return Result(CONTAINED, word(error))
    for _ in range(90):
        time.sleep(1)
    path.unlink(missing_ok=True)
    return Result(OPEN, "", f"{aims.disk_mib} MiB for 90 s")


# --- Floods, by whoever has the session key of a sandbox, or no key


def _gateway(aims: Aims) -> tuple[str, int]:
    return aims.targets["gateway"]


@contextmanager
def _crowd(aims: Aims, first: bytes) -> Generator[list[socket.socket]]:
    """Connections to the gateway, each of which has begun so."""
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for _ in range(aims.connections):
            one = stack.enter_context(socket.create_connection(_gateway(aims), timeout=5))
            if first:
                one.sendall(first)
            one.setblocking(False)
            opened.append(one)
        yield opened


def _ended(crowd: Sequence[socket.socket]) -> int:
    """How many the gateway has closed or answered."""
    poll = select.poll()
    for one in crowd:
        poll.register(one, select.POLLIN)
    return len(poll.poll(0))


def _head(aims: Aims, path: str, length: int, *, key: bool) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {aims.host}", f"Content-Length: {length}"]
    lines.append("Content-Type: multipart/form-data; boundary=x")
    if key:
        lines.append(f"X-Session-API-Key: {os.environ['SESSION_API_KEY']}")
    return "\r\n".join([*lines, "", ""]).encode()


_UPLOAD = "/api/file/upload?path=/tmp/never"


@attempt("flood", "connections without a key")
def idle_connections(aims: Aims) -> Result:
    with _crowd(aims, b"GET / HTTP/1.1\r\n") as crowd:
        _kept(aims)
        return Result(CONTAINED, "limits of connections and time", f"{len(crowd)} open, {_ended(crowd)} ended")


def _hammered(aims: Aims, *, key: bool) -> Result:
    path = "/api/file/download?path=/none"
    line = f"X-Session-API-Key: {os.environ['SESSION_API_KEY']}\r\n" if key else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {aims.host}\r\n{line}Connection: close\r\n\r\n".encode()
    deadline, codes = time.monotonic() + aims.hold, dict[str, int]()
    while time.monotonic() < deadline and sum(codes.values()) < 4 * aims.connections:
        with socket.create_connection(_gateway(aims), timeout=5) as one:
            one.sendall(request)
            code = one.recv(64).decode(errors="replace")[9:12]
        codes[code] = codes.get(code, 0) + 1
    return Result(CONTAINED, "shares of the gateway", ", ".join(f"{n} of {c}" for c, n in sorted(codes.items())))


@attempt("flood", "requests without a key")
def requests_without_key(aims: Aims) -> Result:
    return _hammered(aims, key=False)


@attempt("flood", "requests with the key of a sandbox")
def requests_with_key(aims: Aims) -> Result:
    return _hammered(aims, key=True)


def _slow(aims: Aims, *, key: bool) -> Result:
    with _crowd(aims, _head(aims, _UPLOAD, 4 * MIB, key=key)) as crowd:
        deadline = time.monotonic() + aims.hold
        while time.monotonic() < deadline:
            for one in crowd:
                with suppress(OSError):
                    one.send(b"x")
            time.sleep(0.5)
        return Result(CONTAINED, "limits of requests and time", f"{len(crowd)} open, {_ended(crowd)} answered")


@attempt("flood", "slow bodies without a key")
def slow_without_key(aims: Aims) -> Result:
    return _slow(aims, key=False)


@attempt("flood", "slow bodies with the key of a sandbox")
def slow_with_key(aims: Aims) -> Result:
    return _slow(aims, key=True)


# --- Running them


@dataclass
class _Running:
    """An attempt in a process of its own, so that none changes or ends the others."""

    group: str
    name: str
    pid: int
    pipe: int
    begun: float

    @classmethod
    def started(cls, group: str, name: str, one: Try, aims: Aims) -> "_Running":
        begun = time.time()
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(out)
                os.setpgid(0, 0)
                try:
                    result = one(aims)
                except OSError as error:
                    result = Result(STOPPED, word(error), str(error))
                except BaseException as error:
                    result = Result(FAILED, type(error).__name__, str(error))
                os.write(into, json.dumps(asdict(result)).encode() + b"\n")
            finally:
                with suppress(OSError):
                    Path(f"/tmp/attempts-{os.getpid()}").rmdir()
                os._exit(0)
        os.close(into)
        return cls(group, name, pid, out, begun)

    def record(self, patience: float) -> dict[str, Any]:
        """Its result, as soon as there is one."""
        text, status, late = b"", None, False
        deadline = time.monotonic() + patience
        # Its own children may keep the pipe open, so its end is the newline or the end of the process.
        while not text.endswith(b"\n"):
            if select.select([self.pipe], [], [], 0.1)[0]:
                if not (part := os.read(self.pipe, 65536)):
                    break
                text += part
            elif (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
                status = ended[1]
                # It may have written just before it ended.
                while select.select([self.pipe], [], [], 0)[0] and (part := os.read(self.pipe, 65536)):
                    text += part
                break
            elif late := time.monotonic() > deadline:
                break
        os.close(self.pipe)
        if status is None:
            if late:
                os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if text:
            result = json.loads(text)
        elif late:
            result = asdict(Result(FAILED, "time-out", f"no result after {patience:.0f} s"))
        else:
            ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status}"
            result = asdict(Result(STOPPED if ended == "SIGSYS" else CONTAINED, ended))
        times = {"begun": self.begun, "ended": time.time()}
        return {"group": self.group, "name": self.name, **result, **times}


def run(groups: Sequence[str], only: Sequence[str], aims: Aims) -> Iterator[dict[str, Any]]:
    """The records of these attempts; with `only`, of those names alone."""
    for group in groups:
        chosen = dict(ATTEMPTS[group])
        if group == "network":
            chosen |= {f"connect to: {name}": partial(connects, name) for name in aims.targets}
        chosen = {name: one for name, one in chosen.items() if not only or name in only}
        patience = _PATIENCE + aims.hold + (100 if group == "exhaustion" else 0)
        if group == "network":
            running = [_Running.started(group, name, one, aims) for name, one in chosen.items()]
            yield from (each.record(patience) for each in running)
        else:
            for name, one in chosen.items():
                yield _Running.started(group, name, one, aims).record(patience)


def main(arguments: Sequence[str]) -> None:
    """Print one line of JSON for each attempt."""
    if os.geteuid() == 0 != os.getuid():
        # A set-uid program has started it.
        os.environ[_STARTED_BY] = str(os.getuid())
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    parser = argparse.ArgumentParser(description="What a hostile program in a sandbox tries.")
    parser.add_argument("--groups", default="kernel,files,network", help="of " + ", ".join(ATTEMPTS))
    parser.add_argument("--only", action="append", default=[], help="name of an attempt; may be repeated")
    parser.add_argument("--target", action="append", default=[], help="name=address:port, not to be reached")
    parser.add_argument("--host", default="", help="Host header of requests to the gateway")
    bounds = ("processes", "memory_mib", "disk_mib", "log_mib", "files", "connections")
    for bound in bounds:
        parser.add_argument(f"--{bound.replace('_', '-')}", type=int, default=getattr(Aims(), bound))
    parser.add_argument("--hold", type=float, default=Aims().hold, help="seconds for which an exhaustion goes on")
    given = parser.parse_args(arguments)
    targets: dict[str, tuple[str, int]] = {}
    for text in given.target:
        name, _, end = text.partition("=")
        address, _, port = end.rpartition(":")
        targets[name] = (address.strip("[]"), int(port))
    aims = Aims(targets, given.hold, host=given.host, **{bound: getattr(given, bound) for bound in bounds})
    for record in run(given.groups.split(","), given.only, aims):
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
