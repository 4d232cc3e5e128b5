"""What no text about a sandbox may contain."""

from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.cache import SandboxCache


class SessionSecrets:
    """Derives the keys of sandboxes for redaction."""

    def __init__(self, keys: MasterKeys, cache: SandboxCache) -> None:
        self._keys = keys
        self._cache = cache

    def of(self, sandbox: Sandbox) -> tuple[str, ...]:
        """Its session key and its key for secrets; none if their version of the master key is gone."""
        key_id = self._cache.key_id(sandbox)
        if not self._keys.knows(key_id):
            return ()
        return self._keys.session_key(key_id), self._keys.secret_key(key_id)
