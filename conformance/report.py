"""Outcomes by section and by client: as a table for people, as JSON for programs."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.contract import SECTIONS, Client, Weight


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    """Only recommended, and not so."""
    BLOCKED = "blocked"
    """Could not run, since something else failed before."""
    NOT_RUN = "not run"
    """Could not run, since something that it needs was not given."""


COUNTED = (Outcome.PASSED, Outcome.FAILED, Outcome.WARNED, Outcome.BLOCKED, Outcome.NOT_RUN)


@dataclass(frozen=True, slots=True)
class Result:
    """One test. `reason` is why it did not pass, "" when it did."""

    section: str
    name: str
    weight: Weight
    clients: tuple[Client, ...]
    source: str
    """Who relies on what."""
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Report:
    """All of a run. `left_behind` are sandboxes that could not be stopped."""

    url: str
    image: str
    results: list[Result] = field(default_factory=list[Result])
    left_behind: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def conforms(self) -> bool:
        """Whether no required thing failed or remained unseen for another's failure."""
        return not any(result.outcome in {Outcome.FAILED, Outcome.BLOCKED} for result in self.results)

    def sections(self) -> dict[str, Counter[Outcome]]:
        """How many of each outcome, by section, in the contract's order; only sections of which something was asked."""
        counted = {
            section.key: _count(result for result in self.results if result.section == section.key)
            for section in SECTIONS
        }
        return {key: counts for key, counts in counted.items() if counts}

    def clients(self) -> dict[Client, Counter[Outcome]]:
        """How many of each outcome, by client."""
        return {client: _count(result for result in self.results if client in result.clients) for client in Client}

    def as_json(self) -> dict[str, Any]:
        """The whole report; no part of it holds a key."""
        return {
            "url": self.url,
            "image": self.image,
            "conforms": self.conforms,
            "seconds": round(self.seconds, 1),
            "sections": {key: _named(counts) for key, counts in self.sections().items()},
            "clients": {str(client): _named(counts) for client, counts in self.clients().items()},
            "left_behind": self.left_behind,
            "tests": [
                {
                    "section": result.section,
                    "name": result.name,
                    "weight": str(result.weight),
                    "clients": [str(client) for client in result.clients],
                    "source": result.source,
                    "outcome": str(result.outcome),
                    "reason": result.reason,
                    "seconds": round(result.seconds, 2),
                }
                for result in self.results
            ],
        }

    def write(self, path: Path) -> None:
        """Write the JSON."""
        path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n")

    def print(self, console: Console) -> None:
        """Tables, then a line about each test that did not pass; tests that could not run are listed by cause."""
        titles = {section.key: f"{section.key}  {section.title}" for section in SECTIONS}
        console.print(_table("Section", {titles[key]: counts for key, counts in self.sections().items()}))
        console.print(_table("Client", {str(client): counts for client, counts in self.clients().items() if counts}))
        for outcome in (Outcome.FAILED, Outcome.WARNED):
            for result in self._with(outcome):
                line = f"{result.section} {result.name}: {_first_line(result)}"
                console.print(f"[b]{outcome}[/b] {escape(line)}")
        for outcome in (Outcome.BLOCKED, Outcome.NOT_RUN):
            causes = Counter((result.section, _first_line(result)) for result in self._with(outcome))
            for (section, cause), tests in causes.items():
                console.print(f"[b]{outcome}[/b] {escape(f'{section}, {tests} of its tests: {cause}')}")
        for line in self.left_behind:
            console.print(f"[b red]LEFT BEHIND[/b red], stop it by hand: {escape(line)}")
        verdict = "[b green]conforms[/b green]" if self.conforms else "[b red]does not conform[/b red]"
        console.print(f"{escape(self.url)} {verdict} to what was asked ({self.seconds:.0f} s).")

    def _with(self, outcome: Outcome) -> list[Result]:
        return [result for result in self.results if result.outcome is outcome]


def _first_line(result: Result) -> str:
    return result.reason.strip().partition("\n")[0]


def _count(results: Iterable[Result]) -> Counter[Outcome]:
    return Counter(result.outcome for result in results)


def _named(counts: Counter[Outcome]) -> dict[str, int]:
    return {str(outcome): counts[outcome] for outcome in COUNTED}


def _table(title: str, rows: dict[str, Counter[Outcome]]) -> Table:
    table = Table(title, *(str(outcome) for outcome in COUNTED), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in rows.items():
        table.add_row(name, *(str(counts[outcome] or "-") for outcome in COUNTED))
    return table
