"""A step of a build: its log, and what a failure says."""

import io
from pathlib import Path

import pytest

from images.step import OTHERWISE, remedy, run
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress


def test_output_is_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for word in ("one", "two"):
        run("say", ["sh", "-c", 'echo "$WORD"'], log, Progress(io.StringIO()), {"WORD": word})
    assert log.read_text() == "one\ntwo\n"


def test_a_failure_names_step_log_last_lines_and_remedy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ClusterError) as caught:
        run("bake", ["sh", "-c", "echo flour >&2; exit 3"], log, Progress(io.StringIO()))
    assert str(caught.value) == f"bake failed\n  | flour\n  log: {log}\n  remedy: {OTHERWISE}"


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not installed"):
        run("bake", ["no-such-program"], tmp_path / "log", Progress(io.StringIO()))


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "SSL_CERT_FILE"),
        ("error: invalid peer certificate: UnknownIssuer", "SSL_CERT_FILE"),
        ("write /layer.tar: no space left on device", "disk"),
        ("Err:1 Temporary failure resolving 'mirror.example'", "network"),
        ("cause: dns error", "network"),
        ("The following signatures couldn't be verified: NO_PUBKEY 6ED0E7B82643E131", "debian-archive-keyring"),
        ("SyntaxError: invalid syntax", OTHERWISE),
    ],
)
def test_remedy(log: str, word: str) -> None:
    assert word in remedy(log)
