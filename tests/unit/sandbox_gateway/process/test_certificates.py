"""The files of a mounted Secret become the certificate in force, and stay it when what comes is broken."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from sandbox_gateway.process import certificates
from sandbox_gateway.process.certificates import Certificates, TlsError
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair, handshake


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "mounted")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    scratch = tmp_path_factory.mktemp("pairs")
    return Pair.make(scratch), Pair.make(scratch)


def is_shown(context: ssl.SSLContext, pair: Pair) -> bool:
    """Whether a client that trusts only this pair takes what the context shows."""
    return handshake(pair.trusted(), context)


def encrypted(key: bytes) -> bytes:
    loaded = serialization.load_pem_private_key(key, None)
    hidden = serialization.BestAvailableEncryption(b"password")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


BROKEN: dict[str, Callable[[Pair, Pair], tuple[bytes, bytes]]] = {
    "another's key": lambda one, other: (one.certificate, other.key),
    "no certificate": lambda one, _: (b"", one.key),
    "no key": lambda one, _: (one.certificate, b""),
    "exchanged": lambda one, _: (one.key, one.certificate),
    "cut off": lambda one, _: (one.certificate[:200], one.key),
    "binary": lambda one, _: (b"\0\xff" * 50, one.key),
    "an encrypted key": lambda one, _: (one.certificate, encrypted(one.key)),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_pair_is_refused_with_a_remedy_and_the_old_one_stays(
    secret: MountedSecret, pairs: tuple[Pair, Pair], broken: Callable[[Pair, Pair], tuple[bytes, bytes]]
) -> None:
    one, other = pairs
    secret.store(*broken(other, one))
    with pytest.raises(TlsError, match="store a PEM certificate chain"):
        Certificates(secret.path)
    secret.store(one.certificate, one.key)
    followed = Certificates(secret.path)
    secret.store(*broken(other, one))
    with capture_logs() as logs:
        followed.look()
        followed.look()
    [told] = logs
    assert (told["log_level"], "in the Secret" in told["error"]) == ("error", True)
    assert "PRIVATE KEY" not in str(logs)
    assert is_shown(followed.context, one)
    secret.store(other.certificate, other.key)
    followed.look()
    assert is_shown(followed.context, other)
    assert not is_shown(followed.context, one)


def test_without_files_the_missing_one_is_named(secret: MountedSecret, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"tls\.crt cannot be read"):
        Certificates(secret.path)
    with pytest.raises(TlsError, match=r"tls\.crt cannot be read"):
        Certificates(tmp_path / "nowhere")


def test_a_secret_that_goes_does_not_end_anything(secret: MountedSecret, pairs: tuple[Pair, Pair]) -> None:
    one, other = pairs
    secret.store(one.certificate, one.key)
    followed = Certificates(secret.path)
    key = secret.path / "..data" / "tls.key"
    key.unlink()
    with capture_logs() as logs:
        followed.look()
        followed.look()
        key.write_bytes(one.key)
        followed.look()
    assert len(logs) == 1
    assert is_shown(followed.context, one)
    secret.store(other.certificate, other.key)
    followed.look()
    assert is_shown(followed.context, other)


def test_plain_files_are_followed_too(tmp_path: Path, pairs: tuple[Pair, Pair]) -> None:
    one, other = pairs
    (tmp_path / "tls.crt").write_bytes(one.certificate)
    (tmp_path / "tls.key").write_bytes(one.key)
    followed = Certificates(tmp_path)
    (tmp_path / "tls.crt").write_bytes(other.certificate)
    followed.look()
    assert is_shown(followed.context, one)
    (tmp_path / "tls.key").write_bytes(other.key)
    followed.look()
    assert is_shown(followed.context, other)


async def test_it_looks_by_itself(
    secret: MountedSecret, pairs: tuple[Pair, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.01)
    one, other = pairs
    secret.store(one.certificate, one.key)
    followed = Certificates(secret.path)
    following = asyncio.create_task(followed.run())
    secret.store(other.certificate, other.key)
    async with asyncio.timeout(10):
        while not is_shown(followed.context, other):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    following.cancel()
