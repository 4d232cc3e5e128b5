"""The seed of what is sampled. Workers of a run inherit it."""

import os
import secrets

import sampling


def pytest_configure() -> None:
    """Draw the seed, unless it is given."""
    os.environ.setdefault("TEST_SEED", str(secrets.randbelow(2**32)))


def pytest_report_header() -> str:
    """How to see the same run again."""
    return f"TEST_SEED={sampling.seed()}{', all of what is sampled otherwise' if sampling.WHOLE else ''}"
