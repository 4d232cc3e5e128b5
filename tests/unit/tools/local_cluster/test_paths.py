from pathlib import Path

import pytest

from local_cluster.paths import DEFAULT_STATE, State, cache_dir


def test_the_state_directory_is_the_default_or_the_one_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LOCAL_CLUSTER_STATE", raising=False)
    assert State.from_environment().root == DEFAULT_STATE
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", "")
    assert State.from_environment().root == DEFAULT_STATE


def test_a_relative_or_linked_state_directory_is_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", "link/state")
    assert State.from_environment().root == tmp_path / "real" / "state"


def test_the_cache_follows_the_desktop_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "openhands-sandbox"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_dir() == Path("/home/somebody/.cache/openhands-sandbox")
