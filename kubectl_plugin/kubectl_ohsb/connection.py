"""The cluster and the namespace that kubectl would use with the same options."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import config as _kube_config

from kubectl_ohsb.errors import Refusal
from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import SANDBOX_IMAGES, SANDBOX_POOLS, SANDBOX_USAGES, SANDBOXES

# It has no type annotations.
_config: Any = _kube_config

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_USUAL = Path("~/.kube/config")
_COMPLETION_SECONDS = 5
_DEFINED = frozenset({SANDBOX_IMAGES.plural, SANDBOX_POOLS.plural, SANDBOX_USAGES.plural, SANDBOXES.plural})
_RIGHTS = {
    SANDBOX_USAGES.plural: "list sandboxusages, sandboxes and sandboxclasses",
    SANDBOXES.plural: "what the message names",
    SANDBOX_POOLS.plural: "list sandboxpools and sandboxes",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The options for the cluster; None: not given."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


@asynccontextmanager
async def connect(target: Target, resource: str = "secrets") -> AsyncGenerator[tuple[KubeClient, str]]:
    """A client for this resource, and the namespace. Errors of the API server become a Refusal."""
    path = _kubeconfig(target)
    namespace = target.namespace or _namespace(path, target.context)
    try:
        client = await KubeClient.connect(path, "kubectl-ohsb", context=target.context)
    except Exception as error:  # the library raises any error for a bad kubeconfig
        raise Refusal(_unusable(path, error)) from None
    try:
        yield client, namespace
    except ApiError as error:
        raise Refusal(refused(error, resource)) from None
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        host = client.configuration.host
        raise Refusal(
            f"{host} does not answer ({error or 'time-out'}): check --kubeconfig and --context, or try again"
        ) from None
    finally:
        await client.close()


def for_completion[T](ask: Callable[[], Awaitable[Sequence[T]]]) -> Sequence[T]:
    """What the cluster answers; nothing when it does not answer soon, since a completion reports no errors."""

    async def in_time() -> Sequence[T]:
        async with asyncio.timeout(_COMPLETION_SECONDS):
            return await ask()

    try:
        return asyncio.run(in_time())
    except (Refusal, TimeoutError):
        return []


def _kubeconfig(target: Target) -> str | None:
    """A file, or several in the form of $KUBECONFIG; None in a pod without one. Raises Refusal when there is none."""
    if target.kubeconfig is not None:
        if not Path(target.kubeconfig).expanduser().is_file():
            raise Refusal(f"--kubeconfig: there is no file {target.kubeconfig}")
        return target.kubeconfig
    usual = os.environ.get("KUBECONFIG") or str(_USUAL)
    if any(Path(path).expanduser().is_file() for path in usual.split(os.pathsep) if path):
        return usual
    if target.context is None and _IN_POD.is_file():
        return None
    raise Refusal(f"there is no kubeconfig at {usual}: name one with --kubeconfig or KUBECONFIG")


def _namespace(path: str | None, context: str | None) -> str:
    if path is None:
        return _IN_POD.read_text().strip()
    try:
        contexts, current = _config.list_kube_config_contexts(path)
    except Exception as error:  # as above
        raise Refusal(_unusable(path, error)) from None
    if context is not None:
        found = [item for item in contexts if item["name"] == context]
        if not found:
            names = ", ".join(sorted(item["name"] for item in contexts))
            raise Refusal(f"--context: there is no {context!r} in {path}; there are: {names}")
        current = found[0]
    return current["context"].get("namespace") or "default"


def _unusable(path: str | None, error: Exception) -> str:
    # Only the first line: parsers append the text that they could not read, which may be a credential.
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"the kubeconfig {path or 'of this pod'} cannot be used ({reason}): check --kubeconfig and --context"


def refused(error: ApiError, resource: str) -> str:
    """What to say of an error of the API server, with the remedy."""
    rights = _RIGHTS.get(resource, f"get, list, create, patch and delete {resource}")
    remedy = {
        401: ": check the credentials of the kubeconfig",
        403: f": ask for rights to {rights}, or use --namespace",
        404: ": check --namespace",
    }.get(error.code, "")
    if error.code == 404 and resource in _DEFINED and not error.message.startswith("namespaces "):
        remedy = (
            f": the CustomResourceDefinition {resource}.{SANDBOX_IMAGES.group} is not installed; install it: "
            "kubectl apply --server-side --field-manager=helm -f helm/openhands-sandbox/crds/"
        )
    return f"the API server refuses this ({error.code} {error.reason}): {error.message}{remedy}"
