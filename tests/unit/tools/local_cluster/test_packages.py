import io
import os
from pathlib import Path

import pytest

from local_cluster import packages
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress

APT = """\
#!/bin/sh
echo "apt-get $*"
case "$*" in
*update*) touch "{root}/lists" ;;
*--simulate*)
    test -e "{root}/lists" || {{ echo "E: Unable to locate package ours"; exit 100; }}
    printf 'Inst %s\\n' 'libours (1 Debian [amd64])' 'libc6 [1] (2 Debian [amd64])' 'ours (1 Debian [amd64])' ;;
*install*)
    test -e "{root}/lists" || {{ echo "E: Unable to locate package ours"; exit 100; }}
    printf '#!/bin/sh\\n' > "{root}/our-runtime"
    chmod +x "{root}/our-runtime" ;;
*download*)
    test -e "{root}/lists" || {{ echo "E: Unable to locate package ours"; exit 100; }}
    shift 4
    for package; do touch "$package"_1_all.deb; done ;;
esac
"""
DPKG = """\
#!/bin/sh
mkdir -p "$3/usr/bin"
name="${2##*/}"
cp "$2" "$3/usr/bin/${name%%_*}"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has the CNI plugins and lacks one program; its PATH is the directory given back."""
    (tmp_path / "cni").mkdir()
    (tmp_path / "cni" / "bridge").touch()
    monkeypatch.setattr(packages, "CNI_DIRECTORIES", (tmp_path / "none", tmp_path / "cni"))
    monkeypatch.setattr(packages, "PROGRAMS", {"ours": "our-runtime"})
    monkeypatch.setattr(packages, "PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_nothing_is_done_when_nothing_is_missing(machine: Path) -> None:
    (machine / "our-runtime").touch(mode=0o755)
    out = io.StringIO()
    packages.ensure(machine / "apt.log", Progress(out))
    assert out.getvalue() == ""
    assert not (machine / "apt.log").exists()


def test_missing_packages_are_installed_and_the_lists_fetched_when_needed(machine: Path) -> None:
    apt = machine / "apt-get"
    apt.write_text(APT.format(root=machine))
    apt.chmod(0o755)
    out = io.StringIO()

    packages.ensure(machine / "apt.log", Progress(out))

    assert packages.missing() == []
    assert "install ours (apt-get)" in out.getvalue()
    ran = [line.split()[4] for line in (machine / "apt.log").read_text().splitlines() if line.startswith("apt-get")]
    assert ran == ["install", "update", "install"]


def test_a_package_is_unpacked_once_and_not_installed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))
    for name, script in (("apt-get", APT.format(root=machine)), ("dpkg-deb", DPKG)):
        (machine / name).write_text(script)
        (machine / name).chmod(0o755)
    log, progress = machine / "apt.log", Progress(io.StringIO())

    files = packages.unpack("ours", log, progress)
    assert packages.unpack("ours", log, progress) == files

    assert (files / "usr/bin/ours").exists()
    assert list(files.parent.glob("tmp*")) == []
    ran = [line.split()[4] for line in log.read_text().splitlines() if line.startswith("apt-get")]
    assert ran == ["download", "update", "download"]


def test_what_a_package_needs_and_the_machine_lacks_is_unpacked_with_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))
    for name, script in (("apt-get", APT.format(root=machine)), ("dpkg-deb", DPKG)):
        (machine / name).write_text(script)
        (machine / name).chmod(0o755)
    files = packages.unpack("ours", machine / "apt.log", Progress(io.StringIO()), libraries=True)
    assert sorted(path.name for path in (files / "usr/bin").iterdir()) == ["libours", "ours"]


def test_a_failed_installation_shows_what_apt_said(machine: Path) -> None:
    apt = machine / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: no route to the archive'\nexit 100\n")
    apt.chmod(0o755)
    with pytest.raises(ClusterError, match="apt-get install failed") as failure:
        packages.ensure(machine / "apt.log", Progress(io.StringIO()))
    assert "no route to the archive" in str(failure.value)
    assert "remedy: apt-get install ours" in str(failure.value)


def test_without_apt_the_packages_are_named(machine: Path) -> None:
    (machine / "cni" / "bridge").unlink()
    with pytest.raises(ClusterError, match="missing: ours, containernetworking-plugins"):
        packages.ensure(machine / "apt.log", Progress(io.StringIO()))
