"""Copies programs of this image to /any, so that they run where the image is mounted at /oh, in a container of another.

They find nothing through the other root: neither a loader and libraries, whatever its C library is, nor certificates,
locales, time zones or terminals. Paths in them are replaced in place, by ones that are as long.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

MOUNT = "/oh"
"""Short, for no path may become longer than it was."""
ANY = Path("/any")

LIBRARIES = next(Path("/usr/lib").glob("*-linux-gnu"))
LOADER = next(LIBRARIES.glob("ld-linux-*.so.*"))
PYTHON = Path("/usr/bin/python3").resolve()
GIT = Path("/usr/lib/git-core")

_IN_LOADER = {
    "/etc/ld.so.cache": "/any/ld.cache",
    "/etc/ld.so.preload": "/any/preload",
    f"/lib/{LIBRARIES.name}/": "/any/lib/",
    f"/usr/lib/{LIBRARIES.name}/": f"/lib/{LIBRARIES.name}/",
}
"""Neither of the files is there."""
_SILENCED = b"ERROR: ld.so: object '%s' from %s cannot be preloaded"
"""Said in each program's standard error if the other image has an LD_PRELOAD. libtmux takes that for a failure."""

_IN_LIBRARIES = {
    "libc.so.6": {
        "/usr/lib/locale": "/any/locale",
        "/usr/lib/locale/locale-archive": "/any/locale/archive",
        "/usr/share/zoneinfo": "/any/zoneinfo",
    },
    "libcrypto.so.3": {"/usr/lib/ssl": "/any/ssl", "/usr/lib/ssl/cert.pem": "/any/ssl/cert.pem"},
    "libcurl-gnutls.so.4": {"/etc/ssl/certs/ca-certificates.crt": "/any/ssl/cert.pem"},
    "libtinfo.so.6": {"/etc/terminfo:/lib/terminfo:/usr/share/terminfo": "/any/terminfo"},
}

_IN_BASH = {"/etc/inputrc": "/any/irc"}
_IN_GIT = {str(GIT): "/any/git-core", "share/git-core/templates": "/any/git-templates"}

_LINKS = {
    f"lib/{PYTHON.name}": f"../../opt/agent-server/lib/{PYTHON.name}",
    "bin/python": PYTHON.name,
    "git-templates": "../usr/share/git-core/templates",
    "locale": "../usr/lib/locale",
    "path/git": "../git-core/git",
    "ssl/cert.pem": "../../etc/ssl/certs/ca-certificates.crt",
    "terminfo": "../usr/share/terminfo",
    "zoneinfo": "../usr/share/zoneinfo",
}

_INPUTRC = "set enable-bracketed-paste off\n"
"""The agent server reads what a terminal shows, without a screen."""

_TMUX = f'#!{MOUNT}/any/path/bash\nexec {MOUNT}/any/libexec/tmux -u "$@"\n'
"""It takes its terminal for one of UTF-8 by itself only if the image sets a locale."""


def main() -> None:
    for directory in ("bin", "git-core", "lib", "libexec", "path", "ssl", "tmux"):
        (ANY / directory).mkdir()
    _copy(LOADER, ANY / "ld.so", _IN_LOADER)
    silent = (ANY / "ld.so").read_bytes().replace(_SILENCED, _SILENCED.replace(b"E", b"\0", 1))
    (ANY / "ld.so").write_bytes(silent)
    for name, paths in _IN_LIBRARIES.items():
        _copy(LIBRARIES / name, ANY / "lib" / name, paths)
    _program(PYTHON, ANY / "bin" / PYTHON.name)
    (ANY / "pyvenv.cfg").write_text(f"home = {MOUNT}/usr/bin\n")
    for name in ("clear", "rg"):
        _program(Path("/usr/bin", name), ANY / "path" / name)
    _program(Path("/usr/bin/bash"), ANY / "path" / "bash", _IN_BASH)
    (ANY / "irc").write_text(_INPUTRC)
    _program(Path("/usr/bin/tmux"), ANY / "libexec" / "tmux")
    _script(ANY / "tmux" / "tmux", _TMUX)
    _copy_git()
    for link, target in _LINKS.items():
        (ANY / link).symlink_to(target)
        if not (ANY / link).exists():
            raise FileNotFoundError(f"{link}: {target}")


def _copy_git() -> None:
    """Git, what it runs to reach web servers, and its scripts."""
    for source in GIT.iterdir():
        target = ANY / "git-core" / source.name
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.name == "git":
            _program(source, target, _IN_GIT)
        elif source.name == "git-remote-http":
            _program(source, target)
        elif source.is_dir() or source.read_bytes().startswith(b"#!"):
            target.symlink_to(f"../..{source}")


def _program(source: Path, target: Path, paths: Mapping[str, str] | None = None) -> None:
    """One that its own loader starts. RPATH comes before the LD_LIBRARY_PATH that the other image may set."""
    _copy(source, target, paths or {})
    path = f"{MOUNT}/any/lib:{MOUNT}/lib/{LIBRARIES.name}"
    options = ["--set-interpreter", f"{MOUNT}/any/ld.so", "--force-rpath", "--set-rpath", path]
    subprocess.run(["patchelf", *options, target], check=True)


def _copy(source: Path, target: Path, paths: Mapping[str, str]) -> None:
    content = source.read_bytes()
    for old, new in paths.items():
        # Their lengths are in the code, too.
        path = f"{MOUNT}{new.rjust(len(old) - len(MOUNT), '/')}"
        if len(path) != len(old) or f"\0{old}\0".encode() not in content:
            raise ValueError(f"{source}: {path} does not fit in place of {old}")
        content = content.replace(f"\0{old}\0".encode(), f"\0{path}\0".encode())
    target.write_bytes(content)
    shutil.copymode(source, target)


def _script(target: Path, content: str) -> None:
    target.write_text(content)
    target.chmod(0o755)


if __name__ == "__main__":
    main()
