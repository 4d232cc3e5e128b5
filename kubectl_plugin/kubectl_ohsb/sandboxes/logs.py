"""The command `kubectl ohsb logs`: what the agent server of a sandbox has printed, as text."""

from collections.abc import Collection
from datetime import timedelta

import click

from kubectl_ohsb import options
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.keys import keys_of
from kubectl_ohsb.sandboxes.store import Store, run
from sandbox_common.kube import ApiError
from sandbox_common.log_text import LogText
from sandbox_crds.models import Sandbox
from sandbox_crds.names import CONTAINER, is_pod_name

_NO_KEYS = "The Secret with the sandbox's keys cannot be read, so only session keys are redacted, by their form."


@click.command("logs")
@arguments.name
@click.option("-f", "--follow", is_flag=True, help="Stay, and print what is logged from now on.")
@click.option("--since", type=options.DURATION, help="Only what was logged in this time, such as 10m.")
@click.option("--tail", type=click.IntRange(min=0), metavar="LINES", help="Only this many last lines. Default: all.")
@click.option("-p", "--previous", is_flag=True, help="The log of the agent server before its last restart.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@options.target
def command(
    name: str, follow: bool, since: timedelta | None, tail: int | None, previous: bool, timestamps: bool, target: Target
) -> None:
    """Print the log of a sandbox's agent server.

    Keys of the sandbox are redacted, characters that could control a terminal are removed, bytes that are no UTF-8 are
    replaced, and lines are cut after 16 KiB.

    \b
    Examples:
      # Follow it, from the last 20 lines
      kubectl ohsb logs -f --tail 20 sb-6uxlxqp7zjr6zdcfkkwvh3ux
      # Why did it crash?
      kubectl ohsb logs --previous sb-6uxlxqp7zjr6zdcfkkwvh3ux
    """
    asked = query(follow=follow, since=since, tail=tail, previous=previous, timestamps=timestamps)

    async def read(store: Store) -> None:
        sandbox = await store.get(name)
        pod = pod_of(sandbox)
        text = LogText(await _secrets(store, pod))
        try:
            async with store.client.log(store.namespace, pod, **asked) as stream:
                while data := await stream.readany():
                    click.echo(text.feed(data), nl=False)
                click.echo(text.end(), nl=False)
        except ApiError as error:
            if error.code not in {400, 404, 500, 502, 503, 504}:
                raise
            raise Refusal(no_log(name, pod, error, previous=previous)) from None

    run(target, read)


def query(
    *, follow: bool, since: timedelta | None, tail: int | None, previous: bool, timestamps: bool
) -> dict[str, str]:
    """As the API server wants it."""
    flags = {"follow": follow, "previous": previous, "timestamps": timestamps}
    numbers = {"sinceSeconds": since and max(1, int(since.total_seconds())), "tailLines": tail}
    return {
        "container": CONTAINER,
        **{key: "true" for key, value in flags.items() if value},
        **{key: str(value) for key, value in numbers.items() if value is not None},
    }


def pod_of(sandbox: Sandbox) -> str:
    """The name of the sandbox's pod. Raises Refusal if it has none."""
    name, pod = sandbox.metadata.name, sandbox.status.pod_name
    if not pod:
        how = (
            f"run it again: kubectl ohsb resume {name}" if sandbox.spec.suspend else f"see kubectl ohsb explain {name}"
        )
        raise Refusal(f"the sandbox {name} has no pod: {how}")
    if not is_pod_name(pod):
        raise Refusal(f"status.podName of the sandbox {name} is no name of a pod: see whether the operator runs")
    return pod


def no_log(name: str, pod: str, error: ApiError, *, previous: bool) -> str:
    """Why the log could not be read, with the remedy."""
    if error.code >= 500:
        return f"the node of pod {pod} does not give the log ({error.message}): try again, or see its node"
    if previous:
        return f"the agent server of {name} has not restarted in its present pod: read its log without --previous"
    return f"the pod {pod} has no log yet ({error.message}): see kubectl ohsb explain {name}"


async def _secrets(store: Store, pod: str) -> Collection[str]:
    try:
        return (await keys_of(store, pod)).values()
    except ApiError as error:
        if error.code != 403:
            raise
        click.echo(_NO_KEYS, err=True)
        return ()
