"""Runs commands of the plugin as people do, and makes the sandboxes that they are about."""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from kubectl_ohsb.main import ohsb
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES


@dataclass(frozen=True)
class Done:
    """What a command has done."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Runs commands for one namespace, which is that of the kubeconfig's context."""

    env: Mapping[str, str]

    async def kubectl(self, *arguments: str) -> Done:
        """The real one, which finds the console scripts. They take seconds of CPU to be loaded."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        code = process.returncode
        assert code is not None
        return Done(code, out.decode(), err.decode())

    async def ohsb(self, *arguments: str, answer: str | None = None) -> Done:
        """The command in this process, one at a time. `answer` is what the user types."""
        done = await asyncio.to_thread(CliRunner().invoke, ohsb, arguments, input=answer, env=self.env)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(done.exit_code, done.stdout, done.stderr)


async def add_sandbox(client: KubeClient, namespace: str, name: str, owner: str = "", **spec: Any) -> KubeObject:
    """A Sandbox that no operator has seen."""
    body = {"metadata": {"name": name}, "spec": {"image": "agent:1", "owner": owner, **spec}}
    kind = {"apiVersion": SANDBOXES.api_version, "kind": SANDBOXES.kind}
    return await client.create(SANDBOXES, namespace, {**kind, **body})


async def add_class(client: KubeClient, namespace: str, name: str = "default", **spec: Any) -> None:
    """A SandboxClass."""
    kind = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind}
    await client.create(SANDBOX_CLASSES, namespace, {**kind, "metadata": {"name": name}, "spec": spec})
