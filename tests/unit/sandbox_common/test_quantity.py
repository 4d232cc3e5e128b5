"""Quantities as numbers."""

from decimal import Decimal

import pytest

from sandbox_common.quantity import amount


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("0", "0"),
        ("2", "2"),
        ("1.", "1"),
        ("500m", "0.5"),
        ("1500u", "0.0015"),
        ("7n", "7e-9"),
        ("1.5Gi", str(3 * 2**29)),
        ("2k", "2000"),
        ("1E", "1e18"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("1Ei", str(2**60)),
    ],
)
def test_a_quantity_is_its_number(quantity: str, number: str) -> None:
    assert amount(quantity) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "-1", "1 Gi", "0x1", "1e", "1e999999999", "\u0661", "NaN", "1Gi\n"])
def test_other_text_is_none(text: str) -> None:
    assert amount(text) is None
