# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""Files in and out."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from cluster.sdk_scenarios.session import Session

SIZE = 64 * 1024 * 1024
"""More than any buffer on the way."""


def up_and_down(session: Session) -> dict[str, Any]:
    block = os.urandom(1024 * 1024)
    with tempfile.TemporaryDirectory() as folder:
        there, back = Path(folder, "there"), Path(folder, "back")
        with there.open("wb") as file:
            for _ in range(SIZE // len(block)):
                file.write(block)
        place = f"{session.workspace.working_dir}/large.bin"
        try:
            assert session.workspace.file_upload(there, place).success
            inside = session.run("sha256sum < large.bin").split()[0]
            assert session.workspace.file_download(place, back).success
        finally:
            session.run("rm -f large.bin")
        return {"equal": _digest(there) == inside == _digest(back), "size": back.stat().st_size}


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
