"""Whether a sandbox has work that a suspension would lose. Pure."""

from sandbox_crds.models import Sandbox, SandboxClassSpec


def would_lose_workspace(sandbox: Sandbox, class_: SandboxClassSpec | None) -> bool:
    """Whether a suspension loses /workspace, and the class does not accept this. None: there is no such class.

    A sandbox whose pod was never ready has nothing to lose, and neither has one that is suspended already.
    """
    status = sandbox.status
    if sandbox.spec.suspend or not status.ready_time:
        return False
    workspace = class_.workspace if class_ else None
    # Earlier versions of the operator do not report what the pod has.
    of_class = workspace is not None and workspace.persistent
    keeps = of_class if status.workspace_kept is None else status.workspace_kept
    return not (keeps or (workspace is not None and workspace.discard_on_suspension))
