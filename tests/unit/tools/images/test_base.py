"""Which mirrors the base image is made from."""

from pathlib import Path

import pytest

from images.base import command, key, mirrors, reference

HERE = "http://mirror.example/debian/"
SECURITY = "https://mirror.example/security/"


@pytest.mark.parametrize(
    ("targets", "lines"),
    [
        pytest.param([], [], id="no package lists"),
        pytest.param(
            [f"Debian|bookworm|main|{HERE}", f"Debian|bookworm-security|main|{SECURITY}"],
            [f"deb {HERE} trixie main", f"deb {SECURITY} trixie-security main"],
            id="an older Debian",
        ),
        pytest.param(
            [f"Debian|trixie-updates|main|{HERE}", f"Debian|trixie|main|{HERE}", f"Debian|trixie|main|{HERE}"],
            [f"deb {HERE} trixie-updates main", f"deb {HERE} trixie main"],
            id="each once",
        ),
        pytest.param(
            [
                f"Debian|bookworm|contrib|{HERE}",
                f"Debian Backports|bookworm-backports|main|{HERE}",
                f"Debian|bookworm-proposed-updates|main|{HERE}",
                "Debian|bookworm|main|cdrom://Debian/",
                "Ubuntu|noble|main|http://mirror.example/ubuntu/",
                "|||http://mirror.example/other/",
            ],
            [],
            id="nothing of Debian's main archive",
        ),
    ],
)
def test_mirrors(targets: list[str], lines: list[str]) -> None:
    assert mirrors(targets) == lines


def test_the_command_writes_where_it_is_told(tmp_path: Path) -> None:
    words = command(tmp_path / "base.tar")
    assert words[0] == "mmdebstrap"
    assert words[words.index("trixie") + 1] == f"{tmp_path}/base.tar"


def test_reference_follows_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    assert reference().endswith(f":{before}")
    monkeypatch.setattr("images.base.OPTIONS", ("--variant=essential",))
    assert key() != before
    assert reference().endswith(f":{key()}")
