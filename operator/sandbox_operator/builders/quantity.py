"""Arithmetic with Kubernetes quantities."""

import re
from collections.abc import Mapping
from decimal import Decimal

from sandbox_common.quantity import amount

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")


def multiplied(quantity: str, factor: int) -> str:
    """The quantity times `factor`, exactly and with the same suffix. Raises ValueError if it is not a quantity.

    Supports the suffixes that a SandboxClass may use: m, k, M, G, T and Ki, Mi, Gi, Ti.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    number = f"{Decimal(match[1]) * factor:f}"
    if "." in number:
        number = number.rstrip("0").removesuffix(".")
    return f"{number}{match[2] or ''}"


def is_less(one: str, other: str) -> bool:
    """Whether one quantity is less than the other; False if one of them is not a quantity."""
    first, second = amount(one), amount(other)
    return first is not None and second is not None and first < second


def whole(quantity: str) -> int:
    """The quantity as a whole number. Raises ValueError if it is not a quantity."""
    found = amount(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    return int(found)


def scaled(resources: Mapping[str, str], factor: int) -> dict[str, str]:
    """Each quantity times `factor`, except for extended resources such as devices. Raises ValueError."""
    return {name: multiplied(quantity, 1 if is_extended(name) else factor) for name, quantity in resources.items()}


def is_extended(resource: str) -> bool:
    """Whether this is an extended resource, such as `nvidia.com/gpu` from a device plugin."""
    return "/" in resource
