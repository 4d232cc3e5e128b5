"""Ports for what tests start."""

import socket
from pathlib import Path

import pytest

from local_cluster import ports


def test_no_two_get_the_same_port_though_none_of_them_listens_yet() -> None:
    assert len({ports.free_port() for _ in range(500)}) == 500


def test_a_port_in_use_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_LAST", tmp_path / "last")
    with socket.socket() as taken:
        port = ports.free_port() + 1
        taken.bind((ports.ADDRESS, port))
        taken.listen()
        assert ports.free_port() > port


@pytest.mark.parametrize("text", ["", "nonsense", "29999"])
def test_whatever_was_left_there_the_port_is_in_the_range(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / "last"
    last.write_text(text)
    monkeypatch.setattr(ports, "_LAST", last)
    assert ports.free_port() in range(10_000, 30_000)
