"""Arithmetic with Kubernetes quantities."""

import re
from collections.abc import Mapping
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")


def multiplied(quantity: str, factor: int) -> str:
    """The quantity times `factor`, with the same suffix, exactly. Raises ValueError for what is no quantity.

    Knows the suffixes that a SandboxClass may use: m, k, M, G, T and Ki, Mi, Gi, Ti.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    number = f"{Decimal(match[1]) * factor:f}"
    if "." in number:
        number = number.rstrip("0").removesuffix(".")
    return f"{number}{match[2] or ''}"


def scaled(resources: Mapping[str, str], factor: int) -> dict[str, str]:
    """Each quantity times `factor`. Raises ValueError."""
    return {name: multiplied(quantity, factor) for name, quantity in resources.items()}
