"""How long a sandbox may be idle, start, stay suspended and live: pure, from spec, class and status."""

from sandbox_crds.models import Sandbox, SandboxClass


def idle_timeout(sandbox: Sandbox, class_: SandboxClass | None) -> int:
    """Seconds without work or requests after which it is suspended; 0: never. Its own value wins over its class's."""
    own = sandbox.spec.idle_timeout_seconds
    if own is not None:
        return own
    return class_.spec.idle_timeout_seconds if class_ else 0
