"""Which failures are worth another attempt, and when."""

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from sandbox_common.kube import ApiError
from sandbox_common.kube.repetition import Repetition, retry_after

KEY = ConnectionKey("host", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
NO_RIGHT = 'pods is forbidden: User "gateway" cannot create resource "pods"'


def refusal(code: int, message: str = "", wait: float | None = None) -> ApiError:
    return ApiError(code, "", message, wait)


@pytest.mark.parametrize(
    ("failure", "uncertain"),
    [
        *[(refusal(code), code != 429) for code in (429, 500, 502, 503, 504)],
        (refusal(401), False),
        (refusal(403, NO_RIGHT), False),
        (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), False),
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.ClientOSError(104, "reset"), True),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientPayloadError("cut"), True),
        (ConnectionResetError(), True),
    ],
)
def test_what_may_pass_is_tried_again(failure: Exception, uncertain: bool) -> None:
    repetition = Repetition(10, now=0)
    pause = repetition.pause(failure, now=0)
    assert pause is not None
    assert 0 < pause <= 0.1
    assert repetition.uncertain == uncertain


@pytest.mark.parametrize(
    ("failure", "uncertain"),
    [
        *[(refusal(code), False) for code in (400, 403, 404, 405, 409, 410, 413, 415, 422, 501)],
        (TimeoutError(), True),
        (aiohttp.ClientConnectionError("held back"), False),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("for another host")), False),
        (aiohttp.ClientConnectorSSLError(KEY, OSError("no TLS")), False),
        (FileNotFoundError("token"), False),
    ],
)
def test_what_stays_is_not(failure: Exception, uncertain: bool) -> None:
    repetition = Repetition(10, now=0)
    assert repetition.pause(failure, now=0) is None
    assert repetition.uncertain == uncertain


@pytest.mark.parametrize("failure", [refusal(504), aiohttp.ServerDisconnectedError()])
def test_the_last_attempt_may_have_succeeded_too(failure: Exception) -> None:
    repetition = Repetition(10, now=0)
    assert repetition.pause(failure, now=10) is None
    assert repetition.uncertain


def test_pauses_grow_up_to_a_bound() -> None:
    repetition = Repetition(1000, now=0)
    pauses = [repetition.pause(refusal(503), now=0) or 0.0 for _ in range(100)]
    assert max(pauses[:2]) <= 0.2
    assert 0.5 <= min(pauses[10:]) <= max(pauses) <= 1.0


def test_the_call_s_time_is_its_end() -> None:
    repetition = Repetition(10, now=100)
    assert repetition.pause(refusal(500), now=109.8)
    assert repetition.pause(refusal(500), now=110) is None


def test_the_server_s_wish_is_heeded_if_there_is_time() -> None:
    assert Repetition(10, now=0).pause(refusal(429, wait=4), now=0) == 4
    assert Repetition(10, now=0).pause(refusal(429, wait=11), now=0) is None


def test_a_missing_right_is_believed_sooner() -> None:
    for failure in (refusal(401), refusal(403, NO_RIGHT)):
        assert Repetition(10, now=0).pause(failure, now=1.0)
        assert Repetition(10, now=0).pause(failure, now=1.5) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("1", 1), ("0", 0), ("3600", 30), ("9" * 400, 30), ("", None), ("-1", None), ("1.5", None), ("²", None)],
)
def test_retry_after_is_bounded(header: str, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_a_date_is_no_number_of_seconds() -> None:
    assert retry_after("Wed, 21 Oct 2026 07:28:00 GMT") is None
