"""Quantities times a factor."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.builders.quantity import multiplied, scaled


@pytest.mark.parametrize(
    ("quantity", "factor", "product"),
    [
        ("500m", 1, "500m"),
        ("500m", 8, "4000m"),
        ("3072Mi", 2, "6144Mi"),
        ("1.5Gi", 2, "3Gi"),
        ("1.5Gi", 1, "1.5Gi"),
        ("0.1", 4, "0.4"),
        ("2", 4, "8"),
        ("0", 8, "0"),
        ("10", 1, "10"),
        ("100k", 8, "800k"),
    ],
)
def test_products(quantity: str, factor: int, product: str) -> None:
    assert multiplied(quantity, factor) == product


@given(st.decimals(0, 10**9, places=3), st.sampled_from([1, 2, 4, 8]), st.sampled_from(["", "m", "Mi", "G"]))
def test_products_are_exact(number: Decimal, factor: int, suffix: str) -> None:
    product = multiplied(f"{number:f}{suffix}", factor)
    assert Decimal(product.removesuffix(suffix)) == number * factor


@pytest.mark.parametrize("text", ["", "1e3", "-1", "1 Gi", "1Pi", "Gi", "1.", "0x1"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        multiplied(text, 2)


def test_all_resources_but_extended_ones_are_scaled() -> None:
    amounts = {
        "cpu": "250m",
        "memory": "1Gi",
        "ephemeral-storage": "1Gi",
        "hugepages-2Mi": "4Mi",
        "nvidia.com/gpu": "1",
    }
    assert scaled(amounts, 4) == {
        "cpu": "1000m",
        "memory": "4Gi",
        "ephemeral-storage": "4Gi",
        "hugepages-2Mi": "16Mi",
        "nvidia.com/gpu": "1",
    }
