"""Puts together the control plane of one replica."""

from starlette.types import ASGIApp

from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.spans import Tracing
from sandbox_gateway.console.app import Console, with_console
from sandbox_gateway.console.rows import Rows
from sandbox_gateway.console.sessions import Sessions
from sandbox_gateway.contract.addresses import Addresses, Origin
from sandbox_gateway.registry.images import Images
from sandbox_gateway.runtime_api.answers import Answers
from sandbox_gateway.runtime_api.app import create_app
from sandbox_gateway.runtime_api.audit import Auditor
from sandbox_gateway.runtime_api.explanations import Explanations
from sandbox_gateway.runtime_api.histories import Histories
from sandbox_gateway.runtime_api.streams import Streams
from sandbox_gateway.sandboxes.api import Sandboxes
from sandbox_gateway.sandboxes.api_keys import ApiKeys
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.environment_secrets import EnvironmentSecrets
from sandbox_gateway.sandboxes.events import ClusterEvents
from sandbox_gateway.sandboxes.feed import Feed
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.logs import Logs
from sandbox_gateway.sandboxes.notices import Notices
from sandbox_gateway.sandboxes.permissions import Permissions
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.pull_secrets import PullSecrets
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.session_secrets import SessionSecrets
from sandbox_gateway.sandboxes.starting import Starter
from sandbox_gateway.sandboxes.starts import Starts
from sandbox_gateway.sandboxes.usage import Usage
from sandbox_gateway.settings import Settings


def control_plane(
    settings: Settings,
    keys: MasterKeys,
    client: KubeClient,
    sandboxes: Sandboxes,
    classes: SandboxClasses,
    held_calls: HeldCalls,
    starts: Starts,
    api_keys: ApiKeys,
    pools: Pools,
    images: Images,
    pull_secrets: PullSecrets,
    streams: Streams,
    auditor: Auditor | None,
    tracing: Tracing | None,
) -> ASGIApp:
    """The Runtime API and the console over this replica's cache. Must be made inside the event loop."""
    namespace, cache = settings.namespace, sandboxes.cache
    permissions = Permissions(settings.allowed_images, settings.sandbox_class)
    limit_checks = LimitChecks(cache, api_keys.limits_of)
    environment_secrets = EnvironmentSecrets(client, namespace)
    cache.listen(lambda name, sandbox: None if sandbox else environment_secrets.forget(name))
    starter = Starter(sandboxes, environment_secrets, keys, classes, pools, permissions, limit_checks, starts)
    service = SandboxService(
        sandboxes,
        classes,
        starter,
        held_calls,
        limit_checks,
        Notices(client, namespace),
        starts,
        start_hold_seconds=settings.start_hold_seconds,
        poll_hold_seconds=settings.poll_hold_seconds,
    )
    secrets, events = SessionSecrets(keys, cache), ClusterEvents(client, namespace)
    explanations = Explanations(events, secrets, classes, settings.base_domain)
    histories = Histories(client, namespace, events, secrets)
    capacity = Capacity(pools, cache, limit_checks)
    logs = Logs(client, namespace, secrets)
    usage = Usage(client, namespace, cache, classes)
    public = Origin.parse(settings.public_url) if settings.public_url else None
    app = create_app(
        service,
        Answers(keys, cache, classes, Addresses(settings.base_domain, public)),
        explanations,
        histories,
        capacity,
        logs,
        pools,
        images,
        pull_secrets,
        api_keys,
        permissions,
        usage,
        Feed(cache, held_calls, limit_checks),
        streams,
        registry_prefix=settings.registry_prefix,
        requests_per_minute=settings.requests_per_minute,
        auditor=auditor,
        tracing=tracing,
    )
    if not settings.console:
        return app
    console = Console(
        Sessions(keys, api_keys),
        Rows(cache, classes),
        service,
        explanations,
        cache,
        classes,
        histories,
        capacity,
        permissions,
        usage,
        logs,
        streams,
        base_domain=settings.base_domain,
        public=public,
        requests_per_minute=settings.requests_per_minute,
        auditor=auditor,
    )
    return with_console(app, console.app)
