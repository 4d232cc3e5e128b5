"""Checks that everything installed is pinned; needs no network. Each problem is a sentence with file and remedy."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply_chain import locks
from supply_chain.locks import Lock, Pin

DOCKERFILES = ("Dockerfile", "agent_server_image/Dockerfile")
GO_MODULES = "tools/local_cluster/tools"


def problems(repository: Path) -> Iterator[str]:
    """Everything that is not pinned in this checkout."""
    try:
        pins = {lock: locks.read(lock, repository) for lock in Lock}
    except ValueError as error:
        yield f"{error}. Run make lock."
        return
    for lock in Lock:
        yield from unhashed(lock, pins[lock])
        yield from unmet(lock, _wanted(lock, repository), pins[lock])
    yield from differences(pins[Lock.CONTROLLER], pins[Lock.DEVELOPMENT])
    for name in DOCKERFILES:
        yield from unpinned_bases(name, (repository / name).read_text())
    for path in sorted((repository / GO_MODULES).glob("*/go.mod")):
        sums = path.with_suffix(".sum")
        found = unsummed(path.read_text(), sums.read_text() if sums.exists() else "")
        yield from (f"{path.relative_to(repository)}: {problem}" for problem in found)


def unhashed(lock: Lock, pins: Iterable[Pin]) -> Iterator[str]:
    """Pins without a hash."""
    for pin in pins:
        if not pin.hashes:
            yield f"{lock}: {pin.name} has no hash. Run make lock."


def unmet(lock: Lock, wanted: Iterable[str], pins: Iterable[Pin]) -> Iterator[str]:
    """Requirements that the lock does not meet: only one of the two was changed."""
    versions: Mapping[str, list[str]] = _versions(pins)
    for requirement in map(Requirement, wanted):
        found = versions.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version, prereleases=True) for version in found):
            yield f"{lock}: {requirement} is asked for, and {found or 'nothing'} is there. Run make lock."


def differences(shipped: Iterable[Pin], tested: Iterable[Pin]) -> Iterator[str]:
    """Packages with other versions in the tests' lock than in the image's."""
    versions = _versions(tested)
    for pin in shipped:
        if pin.version not in versions.get(pin.name, []):
            yield f"{Lock.DEVELOPMENT}: {pin.name} is not {pin.version}, as in {Lock.CONTROLLER}. Run make lock."


def unpinned_bases(name: str, dockerfile: str) -> Iterator[str]:
    """Base images without a pin in a Dockerfile: a tag of a release is a pin, `latest` is not."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)", dockerfile, re.MULTILINE))
    stages: set[str] = {"scratch"}
    for source, stage in re.findall(r"^FROM (?:--\S+ )*(\S+)(?: AS (\S+))?", dockerfile, re.MULTILINE | re.IGNORECASE):
        image = re.sub(r"^\$\{?(\w+)\}?$", lambda variable: defaults.get(variable[1], ""), source)
        tag = image.rpartition("/")[2].partition(":")[2]
        if source not in stages and tag in {"", "latest"}:
            yield f"{name}: FROM {source} names no release. Give it a tag."
        stages.add(stage)


def unsummed(mod: str, sums: str) -> Iterator[str]:
    """Modules of a go.mod that are not in go.sum, and those that are replaced by a directory outside of its own."""
    known = {(module, version) for module, version in re.findall(r"^(\S+) (\S+) h1:\S{43}=$", sums, re.MULTILINE)}
    required = re.findall(r"^(?:require )?\t?([\w.~/-]+\.[\w.~/-]+) (v\S+)", mod, re.MULTILINE)
    replaced = re.findall(r"^(?:replace )?\t?(\S+)(?: v\S+)? => (\S+)(?: (v\S+))?", mod, re.MULTILINE)
    targets = {module: (target, version) for module, target, version in replaced}
    for module, version in (targets.get(module, (module, version)) for module, version in required):
        if module.startswith("./") and ".." not in module.split("/"):
            continue
        if not version:
            yield f"{module} is a directory. Name a version of a module."
        elif not {(module, version), (module, f"{version}/go.mod")} <= known:
            yield f"go.sum has no hash of {module} {version}. Run go mod tidy."


def _wanted(lock: Lock, repository: Path) -> list[str]:
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    extras: dict[str, list[str]] = project["project"].get("optional-dependencies", {})
    of_project = [*project["project"]["dependencies"], *(name for extra in extras.values() for name in extra)]
    match lock:
        case Lock.CONTROLLER:
            return of_project
        case Lock.DEVELOPMENT:
            return [*of_project, *project["dependency-groups"]["dev"]]
        case Lock.AGENT_SERVER | Lock.BUILD_TOOLS | Lock.APP:
            lines = (repository / lock.replace(".lock.txt", ".in")).read_text().splitlines()
            return [line for line in lines if line and not line.startswith("#")]


def _versions(pins: Iterable[Pin]) -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for pin in pins:
        versions.setdefault(pin.name, []).append(pin.version)
    return versions
