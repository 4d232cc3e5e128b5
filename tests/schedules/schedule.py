"""What is drawn from a seed before a life begins."""

import random
from dataclasses import dataclass

POOL = "warm"
_LONGEST_LAG = 20.0
"""Seconds. While an API server is that late, its readiness has long failed."""


@dataclass
class Schedule:
    """How many operators, sandboxes, warm pods and steps there are, and how often what fails, lags and dies."""

    names: tuple[str, ...]
    persistent: bool
    service: str
    replicas: int
    operators: int
    share: float
    lag: float
    deaths: int
    steps: int

    @classmethod
    def drawn(cls, draw: random.Random) -> "Schedule":
        """A short life of one or two sandboxes."""
        return cls(
            names=draw.choice((("one",), ("one",), ("one", "two"))),
            persistent=draw.random() < 0.5,
            service=draw.choice(("None", "None", "Headless")),
            replicas=draw.choice((0, 0, 1, 2)),
            operators=draw.choice((1, 1, 1, 2)),
            share=draw.choice((0.0, 0.02, 0.1, 0.3)),
            lag=draw.choice((0.0, 0.2, 1.0, _LONGEST_LAG)),
            deaths=draw.choice((0, 1, 2, 4)),
            steps=draw.randrange(2, 9),
        )
