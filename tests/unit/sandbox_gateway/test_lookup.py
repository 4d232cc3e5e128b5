"""The data plane's directory."""

from typing import Any

import pytest

from sandbox_crds.reasons import Reason
from sandbox_gateway.directory import Endpoint, NoSandbox
from sandbox_gateway.lookup import CacheDirectory
from unit.sandbox_gateway.support import KEYS, sandbox, sandbox_object, status, unconnected_cache

KEY = KEYS.session_key(KEYS.key_id("uid-1"))


async def test_a_ready_sandbox_is_found_by_key_and_by_name() -> None:
    cache = unconnected_cache()
    directory = CacheDirectory(KEYS, cache)
    command = ["server", "--port", "1234"]
    cache.remember(sandbox_object(spec={"command": command}, status=status(Reason.READY, podIP="10.0.0.9")))
    expected = Endpoint("sb-a", ("10.0.0.9", 1234))
    assert directory.find_by_session_key(KEY) == expected
    assert directory.find_by_session_key(KEY) == expected
    assert directory.find_by_runtime_id("sb-a") == expected
    assert directory.find_by_runtime_id("sb-b") is None


@pytest.mark.parametrize("key", ["", "ohs_", KEY[:-1], KEY + "A", KEY.replace("ohs", "OHS"), "\ud800"])
async def test_a_wrong_key_is_not_genuine(key: str) -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(status=status(Reason.READY)))
    assert CacheDirectory(KEYS, cache).find_by_session_key(key) is NoSandbox.NOT_GENUINE


async def test_a_genuine_key_of_a_deleted_sandbox_is_gone() -> None:
    cache = unconnected_cache()
    directory = CacheDirectory(KEYS, cache)
    assert directory.find_by_session_key(KEY) is NoSandbox.GONE
    cache.remember(sandbox_object(status=status(Reason.READY)))
    cache.forget(sandbox())
    assert directory.find_by_session_key(KEY) is NoSandbox.GONE
    assert directory.find_by_runtime_id("sb-a") is None


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.READY])
async def test_one_that_is_not_ready_has_no_address_but_a_reason(reason: Reason) -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(status=status(reason, "why")))
    endpoint = CacheDirectory(KEYS, cache).find_by_runtime_id("sb-a")
    assert endpoint is not None
    assert endpoint.address is None
    assert f"{reason}: why" in endpoint.detail


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"spec": {"suspend": True}, "status": status(Reason.READY)}, "paused"), ({}, "starting")],
)
async def test_one_that_is_paused_or_new_has_no_address(fields: dict[str, Any], word: str) -> None:
    cache = unconnected_cache()
    cache.remember(sandbox_object(**fields))
    endpoint = CacheDirectory(KEYS, cache).find_by_session_key(KEY)
    assert isinstance(endpoint, Endpoint)
    assert endpoint.address is None
    assert word in endpoint.detail
