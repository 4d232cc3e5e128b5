from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cluster.daemons import Daemon, Daemons
from local_cluster.errors import ClusterError


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    started = Daemons(logs=tmp_path / "logs", pids=tmp_path / "pids", remedy="try again")
    yield started
    started.stop_all()


def test_a_daemon_is_recorded_until_it_is_stopped(daemons: Daemons, tmp_path: Path) -> None:
    daemons.start(Daemon("sleeper", ["sleep", "600"]))
    assert daemons.alive("sleeper")

    # Another run of the command knows it by its record.
    other = Daemons(logs=tmp_path / "logs", pids=tmp_path / "pids", remedy="")
    assert other.alive("sleeper")
    assert not other.alive("never-started")

    daemons.stop_all()
    assert not other.alive("sleeper")
    assert other.recorded() == {}
    daemons.stop_all()  # nothing to do


def test_nothing_of_the_callers_environment_reaches_a_daemon(daemons: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", "secret")
    daemons.start(Daemon("env", ["sh", "-c", "env; exec sleep 600"]))
    daemons.await_ready("env", lambda: "PATH=" in daemons.log("env").read_text(), timeout=30)
    assert "LLM_API_KEY" not in daemons.log("env").read_text()


def test_a_daemon_that_ends_is_reported_with_its_last_words(daemons: Daemons) -> None:
    daemons.start(Daemon("etcd", ["sh", "-c", "sleep 0.2; echo 'address already in use' >&2; exit 1"]))
    with pytest.raises(ClusterError) as failure:
        daemons.await_ready("etcd", lambda: False, timeout=30)
    assert str(failure.value).splitlines() == [
        "etcd ended",
        "  | address already in use",
        f"  log: {daemons.log('etcd')}",
        "  remedy: try again",
    ]


def test_a_daemon_that_does_not_get_ready_is_reported(daemons: Daemons) -> None:
    daemons.start(Daemon("etcd", ["sleep", "600"]))
    with pytest.raises(ClusterError, match=r"etcd runs, but has no leader after 0 s"):
        daemons.await_ready("etcd", lambda: False, timeout=0, what="has no leader")
    assert daemons.alive("etcd")
