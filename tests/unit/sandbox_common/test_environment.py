"""Reserved names of environment variables."""

import pytest

from sandbox_common.environment import is_reserved


@pytest.mark.parametrize(
    "name",
    [
        "OH",
        "OH_SESSION_API_KEYS",
        "OH_SESSION_API_KEYS_0",
        "OH_SESSION_API_KEYS_17",
        "SESSION_API_KEY",
        "OH_SECRET_KEY",
        "OH_LEASE_TTL_SECONDS",
        "OH_DEFERRED_INIT",
        "OHSB_CLASS",
        "OHSB_ANYTHING_NEW",
    ],
)
def test_names_of_the_operator_and_the_gateway_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name", ["", "PATH", "OH_CONVERSATIONS_PATH", "MY_OH_SECRET_KEY", "SESSION_API_KEY_FILE", "OHSB"]
)
def test_other_names_are_free(name: str) -> None:
    assert not is_reserved(name)
