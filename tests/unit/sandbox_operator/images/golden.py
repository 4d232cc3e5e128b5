"""Pods that keep images, as YAML for people to read and tests to compare.

After a wanted change write them anew: `python -m unit.sandbox_operator.images.golden`.
"""

from pathlib import Path

import yaml

from sandbox_crds.models import SandboxImages
from sandbox_operator.images.builders import build_keeper
from unit.sandbox_operator.golden import Plain
from unit.sandbox_operator.images.samples import NODE, images, listed

DIRECTORY = Path(__file__).parent / "golden"

CASES: dict[str, tuple[SandboxImages, list[str]]] = {
    "plain": (listed("python:3.13-slim"), ["python:3.13-slim"]),
    "everything": (
        listed(
            *images(3),
            nodeSelector={"pool": "agents"},
            tolerations=[{"key": "agents", "operator": "Exists", "effect": "NoSchedule"}],
            parallelism=4,
            maxDisk="200Gi",
            imagePullSecrets=["registry"],
            priorityClassName="low",
        ),
        images(3),
    ),
}


def text(name: str) -> str:
    """The case's pod."""
    item, held = CASES[name]
    pod = build_keeper(item, NODE, held, "registry.k8s.io/pause:3.10.1", "tasks-abcdefgh23")
    return yaml.dump(pod, Dumper=Plain, sort_keys=False, width=120)


def main() -> None:
    for name in CASES:
        (DIRECTORY / f"{name}.yaml").write_text(text(name))


if __name__ == "__main__":
    main()
