"""`make demo`: from nothing to the SDK's own example. At the end it says what to do next."""

import json
import os
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from demo import workloads
from demo.commands import follow
from demo.outside import run_example, sdk_python
from demo.release import NAME, Release, install, installed, read_values
from demo.targets import NAMESPACE, Images, Target, automatic, choose
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress, elapsed

JOB = "sdk-example"

ClusterOption = Annotated[
    str,
    typer.Option(
        envvar="CLUSTER",
        help="local (this machine, needs root), kind (needs Docker), current (that of kubectl), "
        "or auto: kind if a Docker engine answers, else local",
    ),
]

app = typer.Typer(no_args_is_help=True, help="Bring up a cluster, install the chart and run the SDK's example.")


@app.command()
def run(
    cluster: ClusterOption = "auto",
    egress: Annotated[
        bool,
        typer.Option(
            envvar="EGRESS", help="let the local cluster's pods reach other networks, for a language model there"
        ),
    ] = False,
    values: Annotated[
        Path | None,
        typer.Option(envvar="VALUES", exists=True, dir_okay=False, help="values of the chart that this cluster needs"),
    ] = None,
) -> None:
    """Run the whole demo. The cluster stays up; `make down` removes it.

    With LLM_API_KEY (and LLM_MODEL, LLM_BASE_URL) in the environment, the agent uses that model, not a scripted one.
    """
    started = time.monotonic()
    progress = Progress(sys.stdout)
    try:
        if cluster == "auto":
            cluster, why = automatic()
            progress.say(f"==> Taking CLUSTER={cluster}: {why}. The others: make demo CLUSTER=local, kind or current")
        target = choose(cluster, egress=egress)
        images = _prepare(target, progress)
        release = install(target, images, NAMESPACE, progress, read_values(values) if values else None)
        model = _model(release, progress)
        numbers = [_in_cluster(release, model), _outside(release, model, progress)]
    except ClusterError as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    _closing_words(release, numbers, time.monotonic() - started)


@app.command()
def down(cluster: ClusterOption = "auto") -> None:
    """Remove what the demo made: the local or kind cluster, or the namespace in the current one."""
    try:
        choose(cluster, egress=False).down(Progress(sys.stdout))
    except ClusterError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def env(cluster: ClusterOption = "auto") -> None:
    """Print settings for a shell: eval "$(make -s env)". One of them is the API key.

    Also makes `openhands` the default namespace of kubectl and helm in this cluster's context.
    """
    try:
        target = choose(cluster, egress=False)
        release = installed(target, NAMESPACE)
        settings = {
            **target.environment(),
            "CONTROLLER_IMAGE": release.images.controller,
            "AGENT_SERVER_IMAGE": release.images.agent_server,
            "RUNTIME_API_URL": target.url,
            "RUNTIME_API_KEY": release.api_key(),
        }
        release.kubectl("config", "set-context", "--current", f"--namespace={NAMESPACE}")
    except ClusterError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    for name, value in settings.items():
        print(f"export {name}={shlex.quote(value)}")
    if target.forward:
        print(f"RUNTIME_API_URL answers while this runs, in another terminal: {target.forward}", file=sys.stderr)


def _prepare(target: Target, progress: Progress) -> Images:
    """Cluster and images, in parallel: one waits for the network while the other compiles."""
    progress.say(f"==> Cluster ({target.name}) and images")
    with ThreadPoolExecutor(2) as pool:
        cluster = pool.submit(target.up, progress)
        images = pool.submit(target.build_images, progress)
        cluster.result()
        built = images.result()
    with progress.step("load the images into the cluster"):
        target.load_images(built)
    return built


def _model(release: Release, progress: Progress) -> dict[str, str]:
    """The LLM_… variables of the example; deploys the scripted model unless a real one is named."""
    if os.environ.get("LLM_API_KEY"):
        names = ("LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL")
        progress.say(f"  The agent's language model is {os.environ.get('LLM_MODEL', '(LLM_MODEL is not set)')}.")
        return {name: os.environ[name] for name in names if os.environ.get(name)}
    with progress.step("deploy the scripted language model"):
        workloads.deploy_model(release)
    return workloads.scripted_model(release.namespace)


def _in_cluster(release: Release, model: dict[str, str]) -> dict[str, float]:
    print("\n==> The SDK's example, as a client in the cluster", flush=True)
    workloads.start_client_job(release, JOB, release.url, model)
    _, text = follow(release.target.kubectl_command("--namespace", release.namespace, "logs", "--follow", f"job/{JOB}"))
    if not workloads.job_succeeded(release, JOB):
        raise ClusterError("the example failed in the cluster", remedy="its last line above says what did not hold")
    return _numbers(text)


def _outside(release: Release, model: dict[str, str], progress: Progress) -> dict[str, float]:
    python = sdk_python(progress)
    with release.target.gateway(release.namespace) as url:
        print(f"\n==> The same from outside the cluster, through {url}", flush=True)
        code, text = run_example(release, python, url, model)
    if code != 0:
        raise ClusterError("the example failed from outside", remedy="its last line above says what did not hold")
    return _numbers(text)


def _numbers(transcript: str) -> dict[str, float]:
    return json.loads(transcript.strip().splitlines()[-1])["seconds"]


def _closing_words(release: Release, numbers: list[dict[str, float]], seconds: float) -> None:
    inside, outside = numbers
    option = "" if release.target.name == "local" else f" CLUSTER={release.target.name}"
    forward = release.target.forward and f", while this runs: {release.target.forward}"
    print(f"""
==> Done in {elapsed(seconds).strip()}. The sandbox was ready after {inside["constructor"]:.1f} s in the cluster and \
{outside["constructor"]:.1f} s from outside.

The cluster is still up. What next:
  eval "$(make -s env{option})"
                             kubectl, helm and these settings for your shell
  Runtime API                {release.target.url}{forward}
  API key                    entry api-key of the Secret {NAME}-api-key
  Agent server image         {release.images.agent_server}
  kubectl get ohsb           the sandboxes, in the namespace {release.namespace}
  make down{option:<18}take it all down
""")
