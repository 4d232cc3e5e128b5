"""Session keys: derived from one master key, and self-describing. The names of sandboxes, from a key of their own.

A session key is `ohs_<key id>_<mac>`. The key id names the master key's version and the sandbox, so the gateway knows
from the text of a key which sandbox it opens, and whether it is genuine, without reading any Secret.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from sandbox_crds import names

_KEY_ID = re.compile(r"v([1-9][0-9]{0,8})-[a-z2-7]{26}")
_SESSION_KEY = re.compile(r"ohs_(v([1-9][0-9]{0,8})-[a-z2-7]{26})_([A-Za-z0-9_-]{43})")
_VERSION_FILE = re.compile(r"v[1-9][0-9]{0,8}")
_USE = "use"
NAMING_KEY = "naming-key"
"""The entry with the naming key."""
_MINIMUM_BYTES = 32


class MasterKeyError(Exception):
    """The master key cannot be used. The message says what to do."""


@dataclass(frozen=True)
class MasterKeys:
    """All versions of the master key. New keys are derived from the version in use, by default the newest.

    The naming key is another one, and has no versions: it must stay what it is when the master key changes, since a
    session must keep its sandbox's name.
    """

    versions: Mapping[int, bytes] = field(repr=False)
    used: int
    naming: bytes = field(default=b"", repr=False)
    """Empty: there is none."""

    @classmethod
    def load(cls, directory: Path) -> "MasterKeys":
        """Read a mounted Secret whose entries are named `v1`, `v2`, … and have at least 32 bytes each.

        An entry `use` names the version in use, so that every process can know a new version before it is used. The
        entry `naming-key`, if there is one, is the naming key. Raises MasterKeyError.
        """
        if not directory.is_dir():
            raise MasterKeyError(f"{directory} is missing: mount the master key's Secret there")
        versions = {
            int(path.name[1:]): path.read_bytes().strip()
            for path in directory.iterdir()
            if _VERSION_FILE.fullmatch(path.name)
        }
        use, naming = directory / _USE, directory / NAMING_KEY
        return cls.of(
            versions,
            use.read_text(errors="replace").strip() if use.exists() else "",
            naming.read_bytes().strip() if naming.exists() else None,
        )

    @classmethod
    def of(cls, versions: Mapping[int, bytes], use: str = "", naming: bytes | None = None) -> "MasterKeys":
        """Check these versions. Raises MasterKeyError."""
        if not versions:
            raise MasterKeyError("the master key's Secret has no entry named v1, v2, …: create one")
        for version, secret in versions.items():
            if len(secret) < _MINIMUM_BYTES:
                raise MasterKeyError(f"entry v{version} of the master key is shorter than {_MINIMUM_BYTES} bytes")
        use = use or f"v{max(versions)}"
        if use not in {f"v{version}" for version in versions}:
            raise MasterKeyError(
                f"entry {_USE} of the master key must name one of its versions, such as v{max(versions)}"
            )
        if naming is not None and len(naming) < _MINIMUM_BYTES:
            raise MasterKeyError(f"entry {NAMING_KEY} is shorter than {_MINIMUM_BYTES} bytes")
        return cls(dict(versions), int(use[1:]), naming or b"")

    def runtime_ids(self, owner: str, session_id: str) -> tuple[str, ...]:
        """The names that a session's Sandbox can have. The first is that of a new one, others are of earlier times."""
        unkeyed = names.unkeyed_runtime_id(owner, session_id)
        return (names.runtime_id(owner, session_id, self.naming), unkeyed) if self.naming else (unkeyed,)

    def key_id(self, uid: str) -> str:
        """Id of a new sandbox's key, from the UID of its Sandbox."""
        digest = base64.b32encode(hashlib.sha256(uid.encode()).digest()).decode().lower()[:26]
        return f"v{self.used}-{digest}"

    def key_ids(self, uid: str) -> frozenset[str]:
        """All possible ids of the key of the Sandbox with this UID, one for each version of the master key."""
        _, _, digest = self.key_id(uid).partition("-")
        return frozenset(f"v{version}-{digest}" for version in self.versions)

    def knows(self, key_id: str) -> bool:
        """Whether this is a key id whose version of the master key exists, so that its keys can be derived."""
        match = _KEY_ID.fullmatch(key_id)
        return match is not None and int(match[1]) in self.versions

    def session_key(self, key_id: str) -> str:
        """The session key of the agent server. Raises KeyError if the id's version of the master key is gone."""
        return f"ohs_{key_id}_{self._derive('session', key_id)}"

    def secret_key(self, key_id: str) -> str:
        """The key with which the agent server encrypts secrets at rest (`OH_SECRET_KEY`)."""
        return self._derive("secret", key_id)

    def verify(self, session_key: str) -> str | None:
        """The key id of a genuine session key; None for any other text. Compares in constant time."""
        match = _SESSION_KEY.fullmatch(session_key)
        if match is None or int(match[2]) not in self.versions:
            return None
        genuine = hmac.compare_digest(match[3], self._derive("session", match[1]))
        return match[1] if genuine else None

    def internal_token(self) -> str:
        """The token that operator and gateway send each other as `Authorization: Bearer …`."""
        return self._derive("internal", f"v{self.used}")

    def is_internal_token(self, token: str) -> bool:
        """Whether the token was derived from one of the versions. Compares in constant time."""
        return any(
            hmac.compare_digest(token.encode(errors="replace"), self._derive("internal", f"v{version}").encode())
            for version in self.versions
        )

    def environment_hash(self, environment: Mapping[str, str]) -> str:
        """Keyed hash of a client's environment (64 hex digits); "" for an empty one.

        Everyone who may read Sandboxes sees it. From a plain hash, values could be guessed.
        """
        if not environment:
            return ""
        return _environment_hash(self.versions[self.used], environment)

    def is_environment_hash(self, text: str, environment: Mapping[str, str]) -> bool:
        """Whether the text is this environment's hash with any version of the master key."""
        if not environment:
            return not text
        return any(
            hmac.compare_digest(text.encode(), _environment_hash(key, environment).encode())
            for key in self.versions.values()
        )

    def sign(self, use: str, text: str) -> str:
        """A signature of this text, `v<version>-<43 characters>`, that counts for no other `use`."""
        return self._signature(f"v{self.used}", use, text)

    def is_signed(self, use: str, text: str, signature: str) -> bool:
        """Whether `sign` has made it, with any version of the master key. Compares in constant time."""
        version = signature.partition("-")[0]
        if version not in {f"v{known}" for known in self.versions}:
            return False
        return hmac.compare_digest(signature.encode(errors="replace"), self._signature(version, use, text).encode())

    def _signature(self, version: str, use: str, text: str) -> str:
        return f"{version}-{self._derive(f'signed:{use}', f'{version}-{text}')}"

    def _derive(self, label: str, key_id: str) -> str:
        version = int(key_id.partition("-")[0].removeprefix("v"))
        mac = hmac.new(self.versions[version], f"{label}:{key_id}".encode(errors="surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(mac.digest()).decode().rstrip("=")


def _environment_hash(key: bytes, environment: Mapping[str, str]) -> str:
    text = orjson.dumps(dict(environment), option=orjson.OPT_SORT_KEYS)
    return hmac.new(key, b"environment:" + text, hashlib.sha256).hexdigest()


def api_key_hash(api_key: str) -> str:
    """SHA-256 of a gateway API key, 64 hex digits: the only form in which a key is stored."""
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()
