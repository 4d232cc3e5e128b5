"""Kubernetes quantities as numbers."""

import re
from decimal import Decimal

_FACTORS = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000**power) for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?)([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?")


def amount(quantity: str) -> Decimal | None:
    """The number that the quantity means; None if it is no quantity, or a negative one."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        return None
    suffix = match[2] or ""
    factor = _FACTORS.get(suffix)
    return Decimal(match[1]) * (Decimal(f"1{suffix}") if factor is None else factor)
