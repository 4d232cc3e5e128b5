"""The certificate of the gateway's listener, from the files of a mounted Secret of type kubernetes.io/tls."""

import asyncio
import ssl
from pathlib import Path

import structlog

CERTIFICATE, KEY = "tls.crt", "tls.key"
_LOOK_SECONDS = 5.0
"""The kubelet itself takes up to a minute to renew the files of a mounted Secret."""
_REMEDY = "store a PEM certificate chain as tls.crt and its unencrypted private key as tls.key in the Secret"

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class TlsError(Exception):
    """There is no usable pair of certificate and key. The text says why, and the remedy."""


class Certificates:
    """The pair in force, which follows the files in `directory`.

    Raises TlsError when the first pair cannot be used. If a later one cannot be used, this is logged, and the previous
    pair stays.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pair = _read(directory)
        self._refused: tuple[bytes, bytes] | str | None = None
        self.context = _context(directory)
        """The TLS context for connections that begin now."""

    async def run(self) -> None:
        """Follow the files until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Use the files as they are now."""
        # The kubelet renews both files at once, by a new target of this link. So both must come from one target.
        data = self._directory / "..data"
        directory = data.resolve() if data.exists() else self._directory
        pair: tuple[bytes, bytes] | str | None = None
        try:
            pair = _read(directory)
            if pair == self._pair:
                self._refused = None
                return
            if pair == self._refused:
                return
            self.context = _context(directory)
        except TlsError as error:
            if (pair or str(error)) != self._refused:
                _log.error("new TLS certificate refused, the old one stays", error=str(error))
            self._refused = pair or str(error)
            return
        self._pair, self._refused = pair, None
        _log.info("TLS certificate renewed")


def _read(directory: Path) -> tuple[bytes, bytes]:
    try:
        return (directory / CERTIFICATE).read_bytes(), (directory / KEY).read_bytes()
    except OSError as error:
        raise TlsError(f"TLS: {error.filename} cannot be read ({error.strerror}): {_REMEDY}") from None


def _context(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(directory / CERTIFICATE, directory / KEY, _no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
        raise TlsError(f"TLS: tls.crt and tls.key in {directory} are no pair ({reason}): {_REMEDY}") from None
    return context


def _no_password() -> str:
    """Without it, OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted")
