"""What a session's record takes for true."""

import asyncio

import pytest

from control_plane.races.history import NOT_LIVE, Alive, Call, Told
from control_plane.races.session import Session

_RUNNING = Alive("key")


def _started() -> Session:
    session = Session("session")
    session.enter(_RUNNING)
    session.calls.append(Call("start", 0, 0.0, 0.0, Told(_RUNNING.key)))
    return session


def _list_without_it(session: Session) -> None:
    now = asyncio.get_running_loop().time()
    session.calls.append(Call("list", 0, now, now + 0.001, NOT_LIVE))


async def test_one_that_runs_is_in_every_list() -> None:
    session = _started()
    _list_without_it(session)
    with pytest.raises(AssertionError, match="no order of the calls"):
        session.judge()


async def test_one_that_has_failed_is_in_no_list() -> None:
    session = _started()
    session.fail("its agent server crashes")
    _list_without_it(session)
    session.judge()


async def test_one_that_fails_later_was_in_every_list_before() -> None:
    session = _started()
    _list_without_it(session)
    await asyncio.sleep(0.002)
    session.fail("its agent server crashes")
    with pytest.raises(AssertionError, match="no order of the calls"):
        session.judge()
