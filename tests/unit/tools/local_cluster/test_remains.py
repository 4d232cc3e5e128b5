from pathlib import Path

import pytest

from local_cluster import remains
from local_cluster.errors import ClusterError
from local_cluster.paths import State

MOUNT = "36 35 98:0 / {point} rw,noatime shared:1 - ext4 /dev/root rw"


@pytest.mark.parametrize(
    ("written", "point"),
    [
        ("/var/lib/x", "/var/lib/x"),
        (r"/with\040space", "/with space"),
        (r"/tab\011and\134backslash", "/tab\tand\\backslash"),
        (r"/pods/kubernetes.io~projected/token", "/pods/kubernetes.io~projected/token"),
    ],
)
def test_mount_points_are_read_with_their_escapes(written: str, point: str) -> None:
    assert remains.parse_mount_point(MOUNT.format(point=written)) == Path(point)


def test_a_directory_that_is_not_a_clusters_is_never_cleared(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(ClusterError, match="not a cluster's directory") as refusal:
        remains.clear(State(tmp_path))
    assert precious.read_text() == "years of work"
    assert "LOCAL_CLUSTER_STATE" in str(refusal.value)


def test_only_the_clusters_own_files_outside_of_its_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path / "state")
    logs, results, sockets = (tmp_path / name for name in ("containers", "results", "sockets"))
    for directory in (logs, results, sockets, state.bundles / "0123"):
        directory.mkdir(parents=True)
    for name in ("CONTAINER_LOGS", "CNI_RESULTS", "DEVICE_PLUGINS"):
        monkeypatch.setattr(remains, name, {"CONTAINER_LOGS": logs, "CNI_RESULTS": results}.get(name, tmp_path / "no"))
    (logs / "ours.log").symlink_to(state.logs / "pods/default_web/0.log")
    (logs / "other.log").symlink_to("/var/log/pods/default_web/0.log")
    (results / "openhands-sandbox-0123-eth0").touch()
    (results / "podman-0123-eth0").touch()
    (sockets / "ours").touch()
    (sockets / "other").touch()
    (state.bundles / "0123" / "bootstrap.json").write_text(f'{{"address": "unix://{sockets}/ours"}}')
    (state.bundles / "4567").mkdir()
    (state.bundles / "4567" / "bootstrap.json").write_text("{")

    found = remains.outside(state)

    assert found == [logs / "ours.log", results / "openhands-sandbox-0123-eth0", sockets / "ours"]
