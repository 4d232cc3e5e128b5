"""What makes `make check` say that something is not pinned."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from local_cluster.paths import ROOT
from supply_chain import pinned
from supply_chain.locks import Lock, Pin

SUM = "A" * 43 + "="
MOD = """\
module example.com/tool

go 1.26.0

require (
	example.com/a v1.2.3
	example.com/b/v2 v2.0.0-20260101000000-abcdefabcdef // indirect
)

require example.com/c v0.1.0

replace example.com/c => example.com/d v0.2.0
"""
SUMS = "".join(
    f"{module} {version}{suffix} h1:{SUM}\n"
    for module, version in (
        ("example.com/a", "v1.2.3"),
        ("example.com/b/v2", "v2.0.0-20260101000000-abcdefabcdef"),
        ("example.com/d", "v0.2.0"),
    )
    for suffix in ("", "/go.mod")
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is looked at."""
    for name in ("pyproject.toml", *pinned.DOCKERFILES, *Lock):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for lock in (Lock.AGENT_SERVER, Lock.BUILD_TOOLS, Lock.APP):
        name = lock.replace(".lock.txt", ".in")
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / pinned.GO_MODULES, tmp_path / pinned.GO_MODULES)
    return tmp_path


def test_this_checkout_has_no_problem(checkout: Path) -> None:
    assert list(pinned.problems(checkout)) == []


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(checkout: Path) -> None:
        text = (checkout / name).read_text()
        assert old in text
        (checkout / name).write_text(text.replace(old, new, 1))

    return edit


COREDNS = "tools/local_cluster/tools/coredns"


def _without_sums(checkout: Path) -> None:
    (checkout / COREDNS / "go.sum").unlink()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(_edit(Lock.CONTROLLER, "kopf==", "kopf>="), "not a name==version", id="range"),
        pytest.param(_edit("pyproject.toml", "kopf>=1.45,<1.46", "kopf>=99"), "kopf>=99 is asked for", id="lock"),
        pytest.param(_edit("pyproject.toml", '"kopf', '"zz-new>=1",\n"kopf'), "zz-new>=1 is asked for", id="new"),
        pytest.param(_edit("pyproject.toml", "sdk>=1.45,<2", "sdk>=99"), "sdk>=99 is asked for", id="extra"),
        pytest.param(_edit("agent_server_image/requirements.in", "sdk==1.58.2", "sdk==1.58.1"), "1.58.1", id="agent"),
        pytest.param(_edit(Lock.APP.replace(".lock.txt", ".in"), "ai==1.11.0", "ai==1.10.0"), "1.10.0", id="app"),
        pytest.param(_edit("agent_server_image/build-tools.in", "uv", "uv>=99"), "uv>=99", id="build tools"),
        pytest.param(_edit("Dockerfile", ":trixie-slim", ""), "names no release", id="base without a tag"),
        pytest.param(_edit(f"{COREDNS}/go.sum", "/go.mod h1:", "/go.mod h2:"), "go.sum has no hash", id="sum"),
        pytest.param(_without_sums, "go.sum has no hash", id="no sums"),
    ],
)
def test_names_what_is_not_pinned(checkout: Path, edit: Callable[[Path], object], said: str) -> None:
    edit(checkout)
    found = list(pinned.problems(checkout))
    assert found
    assert all(said in problem for problem in found)


def test_a_pin_needs_a_hash() -> None:
    assert "b has no hash" in " ".join(
        pinned.unhashed(Lock.CONTROLLER, [Pin("a", "1", hashes=("0" * 64,)), Pin("b", "1")])
    )


def test_tests_run_what_the_image_has() -> None:
    tested = [Pin("a", "1"), Pin("b", "2")]
    assert list(pinned.differences([Pin("a", "1")], tested)) == []
    assert len(list(pinned.differences([Pin("a", "2"), Pin("b", "2"), Pin("c", "1")], tested))) == 2


@pytest.mark.parametrize(
    ("dockerfile", "count"),
    [
        ("FROM scratch\n", 0),
        ("FROM debian:13 AS one\nFROM one\n", 0),
        ("FROM registry.example.com:5000/debian:13\n", 0),
        ("FROM debian@sha256:0123\n", 0),
        ("ARG BASE=debian:13\nFROM ${BASE} AS one\nFROM --platform=linux/amd64 $BASE\n", 0),
        ("FROM debian\n", 1),
        ("FROM debian:latest\n", 1),
        ("FROM registry.example.com:5000/debian\n", 1),
        ("ARG BASE=debian\nFROM ${BASE}\n", 1),
        ("ARG BASE\nFROM ${BASE}\nfrom two as three\n", 2),
    ],
)
def test_bases_name_a_release(dockerfile: str, count: int) -> None:
    assert len(list(pinned.unpinned_bases("Dockerfile", dockerfile))) == count


def test_modules_have_sums() -> None:
    assert list(pinned.unsummed(MOD, SUMS)) == []


@pytest.mark.parametrize("line", range(6))
def test_a_module_without_a_sum_is_named(line: int) -> None:
    lines = SUMS.splitlines(keepends=True)
    module = lines.pop(line).split()[0]
    (problem,) = pinned.unsummed(MOD, "".join(lines))
    assert module in problem


def test_a_module_that_is_a_directory_is_named() -> None:
    (problem,) = pinned.unsummed(MOD.replace("example.com/d v0.2.0", "../d"), SUMS)
    assert "../d is a directory" in problem


def test_a_module_that_is_in_this_repository_needs_no_sum() -> None:
    sums = "".join(line for line in SUMS.splitlines(keepends=True) if "example.com/d" not in line)
    assert list(pinned.unsummed(MOD.replace("example.com/d v0.2.0", "./d"), sums)) == []
