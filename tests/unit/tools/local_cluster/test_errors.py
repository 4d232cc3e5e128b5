from pathlib import Path

from local_cluster.errors import TAIL_LINES, ClusterError, tail


def test_an_error_shows_what_failed_the_end_of_the_log_its_path_and_the_remedy(tmp_path: Path) -> None:
    log = tmp_path / "etcd.log"
    log.write_text("".join(f"line {number}\n\n" for number in range(100)))

    text = str(ClusterError("etcd ended", log=log, remedy="free the port"))

    lines = text.splitlines()
    assert lines[0] == "etcd ended"
    assert lines[1:-2] == [f"  | line {number}" for number in range(100 - TAIL_LINES, 100)]
    assert lines[-2:] == [f"  log: {log}", "  remedy: free the port"]


def test_an_error_without_log_and_remedy_is_one_line() -> None:
    assert str(ClusterError("it failed")) == "it failed"


def test_a_log_that_was_never_written_is_named_all_the_same(tmp_path: Path) -> None:
    assert str(ClusterError("failed", log=tmp_path / "none.log")) == f"failed\n  log: {tmp_path / 'none.log'}"


def test_the_tail_of_a_large_file_with_odd_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 200_000 + b"\n\xff\xfe last\n")
    assert tail(log, 1) == ["\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} last"]
