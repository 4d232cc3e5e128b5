"""Small bar plots over days, as numbers for an SVG. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sandbox_common.usage import Days, added
from sandbox_crds.models import UsageAmounts

DAYS = 30
WIDTH, HEIGHT = 600, 120
_GAP = 4
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `part` is the number of its series."""

    x: float
    y: float
    width: float
    height: float
    part: int
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One value, or a stack of several, for each day. `top` is the value at the upper edge."""

    name: str
    unit: str
    series: Sequence[str]
    bars: Sequence[Bar]
    top: str
    first: str
    last: str
    sum: str


def daily(days: Days, today: date, number: int = DAYS) -> Mapping[str, UsageAmounts]:
    """What was used on each of the latest days, all classes together, also where nothing was."""
    dates = [(today - timedelta(days=back)).isoformat() for back in range(number - 1, -1, -1)]
    return {day: added(days.get(day, {}).values()) for day in dates}


def usage_plots(by_day: Mapping[str, UsageAmounts]) -> Sequence[Plot]:
    """The plots of the page of usage."""
    rows = by_day.values()
    starts = ("warm", "cold", "resumed")
    return (
        plot("Running", "hours", by_day, [[row.running_seconds / _HOUR for row in rows]]),
        plot("CPU requested", "core hours", by_day, [[row.cpu_millicore_seconds / 1000 / _HOUR for row in rows]]),
        plot("Memory requested", "GiB hours", by_day, [[row.memory_mebibyte_seconds / 1024 / _HOUR for row in rows]]),
        plot(
            "Starts",
            "starts",
            by_day,
            [[row.warm_starts for row in rows], [row.cold_starts for row in rows], [row.resumes for row in rows]],
            starts,
        ),
    )


def hit_rate(by_day: Mapping[str, UsageAmounts]) -> Plot:
    """The share of first starts that found a warm pod."""
    rates = [100 * row.warm_starts / max(1, row.warm_starts + row.cold_starts) for row in by_day.values()]
    return plot("Starts with a warm pod", "%", by_day, [rates], top=100.0, summed=False)


def plot(
    name: str,
    unit: str,
    days: Mapping[str, object],
    values: Sequence[Sequence[float]],
    series: Sequence[str] = (),
    *,
    top: float = 0.0,
    summed: bool = True,
) -> Plot:
    """One bar for each day; the values of several series are stacked. A `top` of 0 is the highest bar's."""
    dates = list(days)
    stacks = list(zip(*values, strict=True))
    top = top or max(map(sum, stacks), default=0.0) or 1.0
    step = WIDTH / max(1, len(dates))
    bars: list[Bar] = []
    for at, (day, stack) in enumerate(zip(dates, stacks, strict=True)):
        bottom = float(HEIGHT)
        for part, value in enumerate(stack):
            height = value / top * HEIGHT
            bottom -= height
            label = f"{day}: {number(value)} {series[part] if series else unit}"
            if height:
                x, y = round(at * step + _GAP / 2, 2), round(bottom, 2)
                bars.append(Bar(x, y, round(step - _GAP, 2), round(height, 2), part, label))
    total = number(sum(map(sum, stacks))) if summed else ""
    return Plot(name, unit, series, bars, number(top), dates[0] if dates else "", dates[-1] if dates else "", total)


def number(value: float) -> str:
    """Three digits, or all of a large whole number."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
