"""Known vulnerabilities of the locked packages, found by pip-audit, and what follows from each."""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from supply_chain.locks import IN_IMAGES, Lock, Pin

ACCEPTED = Path(__file__).with_name("accepted-advisories.toml")
CANARY = Pin("jinja2", "2.10")
"""A version with vulnerabilities known since 2019. pip-audit reports packages as clean that its source does not know,
so a source that does not report these knows nothing."""

_LONGEST_DAYS = 180
_SECONDS = 300
_SOCKET_SECONDS = 10


class SourceError(Exception):
    """It is unknown whether there are vulnerabilities; the text says why."""


class Accepted(BaseModel):
    """An advisory that somebody has reviewed and accepts until a day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: Annotated[str, Field(min_length=1)]
    id: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=20)]
    until: date


@dataclass(frozen=True, slots=True)
class Finding:
    """A vulnerability of one version of a package. `ids` are all its names, `fixed_in` versions without it."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        fix = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no version without it yet"
        return f"{self.package} {self.version}: {', '.join(self.ids)} ({fix})"


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a source. `unknown` are packages that it does not know."""

    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sentences for people. `failures` must be fixed before a release."""

    failures: list[str]
    warnings: list[str]


def read_accepted(text: str, today: date) -> tuple[Accepted, ...]:
    """The entries of the file of accepted advisories. Raises ValueError, which names the entry and the field."""
    try:
        tables = tomllib.loads(text).get("accepted", [])
        entries = tuple(Accepted.model_validate(table) for table in tables)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{ACCEPTED.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{ACCEPTED.name}: {error}") from None
    for entry in entries:
        if entry.until > today + timedelta(days=_LONGEST_DAYS):
            raise ValueError(f"{ACCEPTED.name}: {entry.id}: until: is more than {_LONGEST_DAYS} days ahead")
    return entries


def judge(report: Report, locked: Mapping[Lock, Sequence[Pin]], accepted: Iterable[Accepted], today: date) -> Verdict:
    """A vulnerability in an image for which there is a better version fails, unless it is accepted; others warn."""
    verdict = Verdict([], [f"The source knows nothing of {name}." for name in report.unknown])
    entries = {(entry.package, entry.id): entry for entry in accepted}
    used: set[Accepted] = set()
    for finding in report.findings:
        entry = next((entries[key] for id_ in finding.ids if (key := (finding.package, id_)) in entries), None)
        if entry:
            used.add(entry)
        where = [lock for lock in Lock if (finding.package, finding.version) in _versions(locked[lock])]
        text = f"{finding} in {', '.join(where)}."
        if entry and entry.until >= today:
            verdict.warnings.append(f"{text} Accepted until {entry.until}: {entry.reason}")
        elif finding.fixed_in and IN_IMAGES & set(where):
            over = f" It was accepted until {entry.until}." if entry else ""
            verdict.failures.append(f"{text}{over} Raise the version and run make lock, or accept it: {ACCEPTED.name}.")
        else:
            verdict.warnings.append(text)
    unused = [entry for entry in accepted if entry not in used]
    verdict.warnings.extend(f"{ACCEPTED.name}: {entry.id} of {entry.package} is no longer found." for entry in unused)
    return verdict


def ask(locked: Mapping[Lock, Sequence[Pin]], osv_url: str = "") -> Report:
    """The vulnerabilities of all pins, from PyPI's JSON API or an OSV server. Raises SourceError."""
    if not _report([CANARY], osv_url).findings:
        raise SourceError(f"the source does not know the vulnerabilities of {CANARY.name} {CANARY.version}")
    reports = [_report(group, osv_url) for group in groups(locked.values()) if group]
    return Report(
        tuple(finding for report in reports for finding in report.findings),
        tuple(name for report in reports for name in report.unknown),
    )


def groups(locks: Iterable[Sequence[Pin]]) -> Iterator[list[Pin]]:
    """The pins of each lock that no earlier lock has, since a file of requirements names a package only once."""
    seen: set[tuple[str, str]] = set()
    for pins in locks:
        yield [pin for pin in pins if (pin.name, pin.version) not in seen]
        seen |= _versions(pins)


def decode(text: str) -> Report:
    """pip-audit's JSON. Raises SourceError when it is none."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(text)["dependencies"]
        findings = [
            Finding(part["name"], part["version"], (found["id"], *found["aliases"]), tuple(found["fix_versions"]))
            for part in dependencies
            for found in part.get("vulns", [])
        ]
        return Report(tuple(findings), tuple(part["name"] for part in dependencies if "skip_reason" in part))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"pip-audit's report cannot be read: {error!r}") from None


def _report(pins: Sequence[Pin], osv_url: str) -> Report:
    service = ["--vulnerability-service=osv", f"--osv-url={osv_url}"] if osv_url else ["--vulnerability-service=pypi"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.writelines(f"{pin.name}=={pin.version}\n" for pin in pins)
        requirements.flush()
        options = ["--no-deps", "--disable-pip", "--format=json", "--desc=off", "--progress-spinner=off"]
        command = [sys.executable, "-m", "pip_audit", *options, *service, f"--timeout={_SOCKET_SECONDS}"]
        try:
            done = subprocess.run(
                [*command, f"--requirement={requirements.name}"], capture_output=True, text=True, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"pip-audit has not ended within {_SECONDS} s") from None
    if not done.stdout.strip():
        lines = done.stderr.strip().splitlines()
        raise SourceError(lines[-1][:300] if lines else f"pip-audit has ended with {done.returncode}")
    return decode(done.stdout)


def _versions(pins: Iterable[Pin]) -> set[tuple[str, str]]:
    return {(pin.name, pin.version) for pin in pins}
