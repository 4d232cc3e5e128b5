"""Descriptors of the process, and what of them is for clients."""

import subprocess
import sys

import pytest

from sandbox_gateway.process.descriptors import RESERVE, connections
from sandbox_gateway.proxy.crowded import ANSWERED


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, 1), (64, 1), (131, 1), (136, 2), (1024, 224), (65_536, 16_352), (1_048_576, 16_384)]
)
def test_a_quarter_is_for_clients(limit: int, expected: int) -> None:
    assert connections(limit) == expected


@pytest.mark.parametrize(("limit", "expected"), [(0, 1), (1024, 224), (1_048_576, 4096)])
def test_tls_has_a_lower_bound_for_its_memory(limit: int, expected: int) -> None:
    assert connections(limit, tls=True) == expected


def test_those_that_are_refused_leave_most_of_the_reserve() -> None:
    assert RESERVE // 2 >= ANSWERED


@pytest.mark.parametrize(("soft", "hard"), [(100, 300), (300, 300)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    program = f"""
import resource
from sandbox_gateway.process.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == [str(hard)] * 3
