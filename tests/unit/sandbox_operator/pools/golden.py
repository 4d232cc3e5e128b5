"""Warm pods, their Secrets and their volume claims, kept as YAML for people to read and tests to compare.

After a wanted change write them anew: `python -m unit.sandbox_operator.pools.golden`.
"""

from pathlib import Path
from typing import Any

import yaml

from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.pools.builders import build_warm_pod, build_warm_secret, build_warm_volume_claim
from sandbox_operator.watching.pods import decode
from unit.sandbox_operator.golden import CASES as SANDBOXES
from unit.sandbox_operator.golden import Plain
from unit.sandbox_operator.pools.samples import pool
from unit.sandbox_operator.samples import KEYS, class_

DIRECTORY = Path(__file__).parent / "golden"
NAME = "warm-abcdefgh23"

CASES: dict[str, tuple[SandboxPool, SandboxClass]] = {
    "plain": (pool(), class_()),
    "from_the_sdk": (
        pool(
            command=["/usr/local/bin/openhands-agent-server", "--port", "8123"],
            workingDir="/workspace/project",
            environment={"OH_ENABLE_VSCODE": "0", "LOG_LEVEL": "", "SESSION_API_KEY": "ignored"},
            resourceFactor=2,
            runAsUser=1000,
            runAsGroup=1001,
            fsGroup=1002,
            runtimeClassName="sysbox-runc",
            imagePullPolicy="Always",
            deferredInit=True,
        ),
        SANDBOXES["from_the_sdk"][1],
    ),
    "everything_of_the_class": (pool(runtimeClassName="strong"), SANDBOXES["everything"][1]),
}


def objects(name: str) -> list[dict[str, Any]]:
    """The pod, its Secret and its volume claim if it has one, with the derived keys left out."""
    of_pool, of_class = CASES[name]
    pod = build_warm_pod(of_pool, of_class, KEYS, NAME)
    stored = {**pod["metadata"], "uid": "uid-of-the-pod", "creationTimestamp": "2026-11-23T12:00:00Z"}
    made = decode({**pod, "metadata": stored})
    secret = build_warm_secret(of_pool, of_class, KEYS, made)
    key_id = KEYS.key_id(NAME)
    for entry, value in secret["stringData"].items():
        if value in (KEYS.session_key(key_id), KEYS.secret_key(key_id)):
            secret["stringData"][entry] = "(derived)"
    return [pod, secret, *([build_warm_volume_claim(of_pool, of_class, made)] if made.volume_claim else [])]


def text(name: str) -> str:
    """The case's YAML documents."""
    return yaml.dump_all(objects(name), Dumper=Plain, sort_keys=False, width=120)


def main() -> None:
    for name in CASES:
        (DIRECTORY / f"{name}.yaml").write_text(text(name))


if __name__ == "__main__":
    main()
