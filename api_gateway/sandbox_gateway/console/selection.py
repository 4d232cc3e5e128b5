"""Which sandboxes a table shows, and in which order. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from urllib.parse import urlencode

from sandbox_common.redaction import redacted

PAGE_ROWS = 50
_LONGEST = 256
"""Characters of a value in the query."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a table shows of a sandbox. Times are RFC 3339, or empty."""

    runtime_id: str
    session_id: str
    owner: str
    state: str
    reason: str
    image: str
    class_name: str
    launch: str
    pool: str
    created: str
    idle_since: str

    @property
    def searched(self) -> str:
        """What a search looks at, in lower case."""
        return "\n".join((self.runtime_id, self.session_id, self.owner, self.reason, self.image)).lower()


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "name": lambda row: row.session_id or row.runtime_id,
    "state": lambda row: row.state,
    "reason": lambda row: row.reason,
    "image": lambda row: row.image,
    "class": lambda row: row.class_name,
    "launch": lambda row: row.launch,
    "created": lambda row: row.created,
    "idle": lambda row: row.idle_since,
    "pool": lambda row: row.pool,
    "owner": lambda row: row.owner,
}
"""What a table can be sorted by."""


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a table's URL. Empty values select everything."""

    q: str = ""
    state: str = ""
    class_name: str = ""
    pool: str = ""
    owner: str = ""
    sort: str = "created"
    down: bool = True
    page: int = 1

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> "Query":
        """From the parameters of a URL. What makes no sense is ignored."""
        texts = {name: redacted(values.get(_NAMES.get(name, name), "")[:_LONGEST]).strip() for name in _FILTERS}
        sort, page = values.get("sort", ""), values.get("page", "")
        return cls(
            **texts,
            sort=sort if sort in COLUMNS else "created",
            down=values.get("order", "asc" if sort in COLUMNS else "desc") == "desc",
            page=int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 7 else 1,
        )

    def url(self, **changes: str | bool | int) -> str:
        """The parameters of a table with these changes; `?` if all are as usual."""
        other = replace(self, **changes)
        values: dict[str, str] = {_NAMES.get(name, name): getattr(other, name) for name in _FILTERS}
        if (other.sort, other.down) != ("created", True):
            values |= {"sort": other.sort, "order": "desc" if other.down else "asc"}
        if other.page > 1:
            values["page"] = str(other.page)
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def fits(self, row: Row) -> bool:
        """Whether the table shows this sandbox on one of its pages."""
        return (
            self.state in ("", row.state)
            and self.class_name in ("", row.class_name)
            and self.pool in ("", row.pool)
            and self.owner in ("", row.owner)
            and all(word in row.searched for word in self.q.lower().split())
        )


_FILTERS = tuple(field.name for field in fields(Query) if field.type is str and field.name != "sort")
_NAMES = {"class_name": "class"}


@dataclass(frozen=True, slots=True)
class Selection:
    """One page of a table. `fitting` of `total` sandboxes are on its pages."""

    query: Query
    rows: Sequence[Row]
    fitting: int
    total: int
    pages: int
    classes: Sequence[str]
    pools: Sequence[str]
    owners: Sequence[str]

    @property
    def first(self) -> int:
        """Number of the first row, from 1."""
        return (self.query.page - 1) * PAGE_ROWS + 1


def select(rows: Iterable[Row], query: Query) -> Selection:
    """The page of this query; the last one if there are fewer."""
    known = list(rows)
    fitting = sorted(filter(query.fits, known), key=lambda row: row.runtime_id)
    fitting.sort(key=COLUMNS[query.sort], reverse=query.down)
    pages = max(1, -(-len(fitting) // PAGE_ROWS))
    page = min(query.page, pages)
    return Selection(
        replace(query, page=page),
        fitting[(page - 1) * PAGE_ROWS : page * PAGE_ROWS],
        len(fitting),
        len(known),
        pages,
        *(sorted({of(row) for row in known} - {""}) for of in (COLUMNS["class"], COLUMNS["pool"], COLUMNS["owner"])),
    )
