"""Sessions of the console: a signed cookie that is bound to an API key, and ends with it.

Nothing is stored: any replica, and any later process with the same master key, accepts the cookie. It has no key, only
the name of the key's Secret and a signature of the key's hash. So each request looks up the key as it is then.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sandbox_common.api_keys import ApiKey
from sandbox_common.keys import MasterKeys, api_key_hash
from sandbox_common.times import utc_now
from sandbox_gateway.sandboxes.api_keys import ApiKeys

IDLE_SECONDS = 2 * 3600
"""A session without requests by a person ends after this time."""
LIFE_SECONDS = 12 * 3600
"""Each session ends after this time."""
RENEWAL_SECONDS = 60
"""The cookie says when it was last used, this exactly."""

_COOKIE, _KEY, _FORM = "console", "console-key", "console-form"
_SIGNATURE = r"v[1-9][0-9]{0,8}-[A-Za-z0-9_-]{43}"
_SEALED = re.compile(
    rf"(([A-Za-z0-9_-]{{22}})~([1-9][0-9]{{9,10}})~([1-9][0-9]{{9,10}})~([a-z0-9.-]{{1,253}})~({_SIGNATURE}))~({_SIGNATURE})"
)
_LONGEST = 512
"""Characters of a cookie's value."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says. `began` and `used` are in seconds since 1970."""

    id: str
    began: int
    used: int
    key_name: str
    key_mark: str
    """A signature of the hash of the API key."""

    @property
    def text(self) -> str:
        """All of it, in the characters of a cookie."""
        return f"{self.id}~{self.began}~{self.used}~{self.key_name}~{self.key_mark}"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has signed in: the session, and its API key as it is now."""

    session: Session
    key: ApiKey


class Sessions:
    """Makes sessions, and reads their cookies. `now` is the wall clock in UTC."""

    def __init__(self, keys: MasterKeys, api_keys: ApiKeys, now: Callable[[], datetime] = utc_now) -> None:
        self._keys = keys
        self._api_keys = api_keys
        self._now = now

    def begin(self, api_key: str) -> SignedIn | None:
        """A new session of the API key with this text; None if there is no such key."""
        key = self._api_keys.find(api_key) if api_key else None
        if key is None:
            return None
        now = int(self._now().timestamp())
        mark = self._keys.sign(_KEY, api_key_hash(api_key))
        return SignedIn(Session(secrets.token_urlsafe(16), now, now, key.name, mark), key)

    def seal(self, session: Session) -> str:
        """The cookie's value."""
        return f"{session.text}~{self._keys.sign(_COOKIE, session.text)}"

    def find(self, cookies: Iterable[str]) -> SignedIn | None:
        """Who has signed in, according to the first of these cookies' values that counts."""
        return next((found for value in cookies if (found := self._open(value))), None)

    def is_valid(self, signed_in: SignedIn) -> bool:
        """Whether the session has not ended, neither by time nor with its key, and the key allows the same."""
        return self._key_of(signed_in.session) == signed_in.key

    def renewed(self, session: Session) -> Session | None:
        """The session as used now; None if its cookie says that well enough."""
        now = int(self._now().timestamp())
        return replace(session, used=now) if now - session.used >= RENEWAL_SECONDS else None

    def form_token(self, session: Session) -> str:
        """What each form of this session sends, and no other site knows."""
        return self._keys.sign(_FORM, session.id)

    def is_form_token(self, session: Session, token: str) -> bool:
        """Compares in constant time."""
        return self._keys.is_signed(_FORM, session.id, token)

    def _open(self, value: str) -> SignedIn | None:
        match = _SEALED.fullmatch(value) if len(value) <= _LONGEST else None
        if match is None or not self._keys.is_signed(_COOKIE, match[1], match[7]):
            return None
        session = Session(match[2], int(match[3]), int(match[4]), match[5], match[6])
        key = self._key_of(session)
        return key and SignedIn(session, key)

    def _key_of(self, session: Session) -> ApiKey | None:
        now = self._now()
        seconds = now.timestamp()
        if seconds >= session.began + LIFE_SECONDS or seconds >= session.used + IDLE_SECONDS:
            return None
        key = self._api_keys.named(session.key_name)
        if key is None:
            return None
        valid = any(
            hash_.valid_at(now.astimezone(UTC)) and self._keys.is_signed(_KEY, hash_.sha256, session.key_mark)
            for hash_ in key.hashes
        )
        return key if valid else None
