"""What a build learns of this machine's network, and in which form."""

import stat
import subprocess
from pathlib import Path

from images.host_settings import secret_options


def test_nothing_set_nothing_passed(tmp_path: Path) -> None:
    assert secret_options(tmp_path, {"HOME": "/root", "UV_DEFAULT_INDEX": ""}) == []
    assert list(tmp_path.iterdir()) == []


def test_certificates_are_passed_where_the_file_exists(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    environment = {"PIP_CERT": str(bundle)}
    assert secret_options(tmp_path, environment) == []
    bundle.write_text("certificate")
    assert secret_options(tmp_path, environment) == [f"--secret=id=ca-certificates,src={bundle}"]


def test_the_index_goes_through_a_file_and_not_through_the_command_line(tmp_path: Path) -> None:
    url = "https://user:it's $ecret@index.example/simple?a=b&c"
    [option] = secret_options(tmp_path, {"UV_DEFAULT_INDEX": url, "PIP_INDEX_URL": "other", "AWS_SECRET": "not ours"})
    file = tmp_path / "build-env"
    assert option == f"--secret=id=build-env,src={file}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    read = subprocess.run(
        ["sh", "-c", f'. {file}; printf "%s|%s|%s" "$UV_DEFAULT_INDEX" "$PIP_INDEX_URL" "$AWS_SECRET"'],
        capture_output=True,
        text=True,
        env={},
    )
    assert read.stdout == f"{url}|other|"
