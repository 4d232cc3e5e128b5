"""The command `kubectl ohsb start`: a Sandbox as the gateway makes it for /start."""

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from kubectl_ohsb import options, printing, texts
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.options import Text
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes import waiting as waits
from kubectl_ohsb.sandboxes.changing import START, judged, waiting
from kubectl_ohsb.sandboxes.store import Store, run
from sandbox_common.keys import NAMING_KEY
from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.sandboxes.builders import environment_secret, new_sandbox
from sandbox_crds import names
from sandbox_crds.models import Sandbox

_FACTORS = {"1": 1, "2": 2, "4": 4, "8": 8}


@click.command("start")
@click.option("--image", type=Text("IMAGE", texts.image_reference), required=True, help="Image with an agent server.")
@click.option("--class", "class_name", type=options.NAME, shell_complete=arguments.complete_class, help="SandboxClass.")
@click.option("--owner", type=options.OWNER, shell_complete=arguments.complete_owner, help="Owner. Default: none.")
@click.option(
    "--session-id",
    type=Text("ID", texts.session_id),
    help="The name by which clients of the owner find it. Default: a random one.",
)
@click.option(
    "--naming-key",
    metavar="SECRET",
    type=options.NAME,
    default="openhands-sandbox-naming-key",
    show_default=True,
    help="Secret with the entry naming-key, by which the gateway names the sandbox of a --session-id.",
)
@click.option(
    "--env",
    "environment",
    type=Text("NAME=VALUE", texts.variable),
    multiple=True,
    help="Environment variable; repeatable. It is stored in a Secret.",
)
@click.option("--resource-factor", type=click.Choice(list(_FACTORS)), help="Multiplies CPU and memory of the class.")
@click.option("--idle-timeout", type=options.DURATION, help="Time without use before it is suspended; 0: never.")
@waiting
@options.output
@options.target
def command(
    image: str,
    class_name: str | None,
    owner: str | None,
    session_id: str | None,
    naming_key: str,
    environment: tuple[tuple[str, str], ...],
    resource_factor: str | None,
    idle_timeout: timedelta | None,
    wait: bool,
    timeout: timedelta,
    output: str,
    target: Target,
) -> None:
    """Start a sandbox, and wait until its agent server is ready.

    \b
    Examples:
      # Try an image, and see what it waits for
      kubectl ohsb start --image ghcr.io/openhands/agent-server:1.58.2-python
      # For an owner, whose API keys then reach it by its session id
      kubectl ohsb start --image ghcr.io/team-a/tools:7 --owner team-a --session-id try --env LOG_LEVEL=debug
    """
    session = session_id or f"kubectl-{secrets.token_hex(8)}"
    spec = spec_of(image, class_name, resource_factor, idle_timeout)
    variables = dict(environment)

    async def act(store: Store) -> tuple[str, dict[str, Any], str]:
        classes = await store.classes()
        wanted = spec.get("className", "default")
        if wanted not in classes:
            raise Refusal(f"there is no SandboxClass {wanted}; there are: {', '.join(sorted(classes)) or 'none'}")
        if session_id:
            name = await _name(store, owner or "", session_id, naming_key)
        else:
            # Nobody else starts this session, so its name need not be the gateway's.
            name = names.runtime_id(owner or "", session, secrets.token_bytes(32))
        body = new_sandbox(
            name,
            spec,
            owner=owner or "",
            session_id=session,
            environment=variables,
            # The gateway's hash needs the master key. With this one, no /start takes its environment for the same.
            environment_hash=secrets.token_hex(32) if variables else "",
        )
        sandbox = await _create(store, body, variables)
        click.echo(f"sandbox {name} created", err=True)
        if not wait:
            return name, {"name": name, "sessionID": session, "result": "created"}, ""
        looks = await waits.wait(store, {name: sandbox.metadata.uid}, START.ended, timeout.total_seconds())
        outcome = judged(START, name, True, looks[name], timeout.total_seconds())
        return name, {**outcome.document(), "sessionID": session}, outcome.problem

    name, document, problem = run(target, act)
    if output != "table":
        printing.document(document, output)
    elif not problem:
        click.echo(f"sandbox {name} {document['result']}")
        click.echo(f"{_reach(session, owner)} Its log: kubectl ohsb logs -f {name}", err=True)
    if problem:
        raise Refusal(problem)


def _reach(session: str, owner: str | None) -> str:
    if owner:
        return f"API keys of owner {owner} find it: GET /sessions/{session} of the gateway."
    return "It has no owner, so no API key finds it: its session key, in the Secret of its pod, opens it."


def spec_of(
    image: str, class_name: str | None, resource_factor: str | None, idle_timeout: timedelta | None
) -> dict[str, Any]:
    """The fields of the spec that the options give."""
    fields = {
        "className": class_name,
        "resourceFactor": resource_factor and _FACTORS[resource_factor],
        "idleTimeoutSeconds": None if idle_timeout is None else int(idle_timeout.total_seconds()),
    }
    return {"image": image, **{name: value for name, value in fields.items() if value is not None}}


async def _name(store: Store, owner: str, session_id: str, secret: str) -> str:
    """The name that the gateway would give this session's Sandbox. Raises Refusal if it has one already."""
    for known in await store.all():
        if (known.spec.owner, known.spec.session_id) == (owner, session_id):
            raise _taken(known.metadata.name)
    try:
        found = await store.client.find(SECRETS, store.namespace, secret)
    except ApiError as error:
        if error.code != 403:
            raise
        raise Refusal(
            f"you may not read the Secret {secret}, whose entry {NAMING_KEY} names the sandboxes of sessions: ask for "
            "the right to get it, start the session by POST /start of the gateway, or omit --session-id"
        ) from None
    if found is None:
        raise Refusal(
            f"there is no Secret {secret} in namespace {store.namespace}, by which the gateway names the sandboxes of "
            "sessions: give its name with --naming-key (RELEASE-openhands-sandbox-naming-key, or the chart's "
            "masterKey.existingSecret), start the session by POST /start of the gateway, or omit --session-id"
        )
    data: dict[str, str] = found.get("data") or {}
    try:
        key = base64.b64decode(data.get(NAMING_KEY, ""), validate=True).strip()
    except binascii.Error:
        key = b""
    # Where there is no key, the gateway has none either.
    return names.runtime_id(owner, session_id, key) if key else names.unkeyed_runtime_id(owner, session_id)


def _taken(name: str) -> Refusal:
    return Refusal(
        f"this session has the sandbox {name} already: kubectl ohsb resume {name} runs it again, another "
        "--session-id starts another one"
    )


async def _create(store: Store, body: KubeObject, environment: Mapping[str, str]) -> Sandbox:
    """The new Sandbox with the Secret of its environment. Raises Refusal if there is one for this session."""
    name = body["metadata"]["name"]
    try:
        sandbox = Sandbox.model_validate(await store.client.create(SANDBOXES, store.namespace, body))
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        raise _taken(name) from None
    if environment:
        try:
            await store.client.create(SECRETS, store.namespace, environment_secret(sandbox, environment, ""))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                # Its pod would wait for the Secret for ever.
                await store.client.delete(SANDBOXES, store.namespace, name, uid=sandbox.metadata.uid)
                raise
    return sandbox
