"""A table for the terminal, and the same one in a page of the documentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """Cells by rows. The headings are as many as the cells of each row; the first one may be empty."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        table = Table(*self.headings, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        Console(width=180).print(table)

    def markdown(self) -> str:
        """As in a page; its title is left to the page."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def fill(page: Path, name: str, grid: Grid) -> None:
    """Put the table between the page's lines `<!-- NAME -->` and `<!-- end of NAME -->`.

    A page without them, or no page, stays as it is: then the numbers are somewhere else than the documentation.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    text = page.read_text() if page.exists() else ""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if found and closed:
        page.write_text(f"{before}{begin}\n{grid.markdown()}\n\n{end}{after}")
