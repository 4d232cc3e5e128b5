"""The seed of what is sampled, which workers of a run inherit, and that no example fails for being slow."""

import os
import secrets

from hypothesis import HealthCheck, settings

import sampling

# A busy machine is slow at any example.
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=sampling.count(40, 100),
)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Draw the seed, unless it is given."""
    os.environ.setdefault("TEST_SEED", str(secrets.randbelow(2**32)))


def pytest_report_header() -> str:
    """How to see the same run again."""
    return f"TEST_SEED={sampling.seed()}{', all of what is sampled otherwise' if sampling.WHOLE else ''}"
