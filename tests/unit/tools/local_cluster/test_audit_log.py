"""An audit log that is read while it is written."""

from pathlib import Path

from local_cluster.audit_log import events


def test_only_whole_lines_are_read_wherever_the_writer_is(tmp_path: Path) -> None:
    path, whole = tmp_path / "audit.log", '{"verb": "get"}\n{"verb": "läst"}\n'.encode()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert len([*events(path)]) == whole[:length].count(b"\n")


def test_events_are_chosen_by_where_they_stand_and_what_they_contain(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"verb": "get"}\n')
    offset = path.stat().st_size
    path.write_text('{"verb": "get"}\n{"verb": "list"}\n{"verb": "get", "code": 200}\n')
    assert [*events(path, offset)] == [{"verb": "list"}, {"verb": "get", "code": 200}]
    assert [*events(path, offset, b'"get"')] == [{"verb": "get", "code": 200}]
