"""An upload of 3 GiB into a sandbox of the chart's default class, by a client that streams.

The SDK's own `file_upload` is none: it holds such a file several times in memory, and its time grows with the square.
"""

from pathlib import Path

import httpx

from cluster.runtime import Runtime
from cluster.site import Site
from demo.targets import Images

SIZE = 3 * 1024**3


def test_the_file_arrives_and_nothing_is_lost(site: Site, images: Images, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    with file.open("wb") as large:
        large.seek(SIZE - 5)
        large.write(b"last\n")
    with Runtime(site, images.agent_server) as runtime, file.open("rb") as content:
        runtime.await_ready()
        runtime.run("echo first > kept.txt")
        uploaded = runtime.agent.post(
            "/api/file/upload",
            params={"path": "/workspace/large.bin"},
            files={"file": content},
            timeout=httpx.Timeout(60, read=600),
        )
        assert uploaded.status_code == 200, uploaded.text
        seen = runtime.run("cat kept.txt; stat --format=%s large.bin; tail -c5 large.bin").split()
        assert seen == ["first", str(SIZE), "last"]
        assert runtime.look()["restart_count"] == 0
