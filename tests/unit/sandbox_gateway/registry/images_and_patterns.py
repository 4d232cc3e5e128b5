"""Images that try to pass for allowed ones, with the verdict: one table for the gateway and for the API server."""

import random

DIGEST = "sha256:" + "0a" * 32
OTHER = "sha256:" + "0b" * 32

PATTERNS = [
    "ghcr.io/openhands/*",
    "registry.example:5000/team/agent",
    "quay.io/team/agent:1.2",
    "quay.io/team/latest:latest",
    f"quay.io/team/pinned@{DIGEST}",
    "gcr.io/*@sha256:*",
    "docker.io/python:3.13",
    "docker.io/team/*",
    "index.docker.io/redis@sha256:*",
    "localhost/mine",
    "mirror.index.docker.io/*",
    "docker.io/sha256",
]

CASES: dict[str, bool] = {
    # A path, with whatever is beneath, and whatever tag and digest.
    "ghcr.io/openhands/agent-server": True,
    "ghcr.io/openhands/agent-server:1.58.2-python": True,
    f"ghcr.io/openhands/agent-server@{OTHER}": True,
    f"ghcr.io/openhands/agent-server:1@{OTHER}": True,
    "ghcr.io/openhands/a/b/c": True,
    f"ghcr.io/openhands/a@sha512:{'0' * 128}": True,
    "ghcr.io/openhands": False,
    "ghcr.io/openhands/": False,
    "ghcr.io/openhands:1": False,
    "ghcr.io/openhandsx/agent-server": False,
    "ghcr.io/openhands-evil/agent-server": False,
    "ghcr.io/other/openhands/agent-server": False,
    # Other registries that contain the name.
    "ghcr.io.evil.com/openhands/x": False,
    "evil/ghcr.io/openhands/x": False,
    "evil.com/ghcr.io/openhands/x": False,
    "xghcr.io/openhands/x": False,
    "ghcr.io:443/openhands/x": False,
    "ghcr.io:5000/openhands/x": False,
    "ghcr.io./openhands/x": False,
    "ghcr.io@evil.com/openhands/x": False,
    "evil.com@ghcr.io/openhands/x": False,
    "user:password@ghcr.io/openhands/x": False,
    "https://ghcr.io/openhands/x": False,
    "//ghcr.io/openhands/x": False,
    "/ghcr.io/openhands/x": False,
    "openhands/x": False,
    # Letters, dots and blanks.
    "GHCR.io/openhands/x": False,
    "ghcr.io/OpenHands/x": False,
    "ghcr.io/openhands/X": False,
    "Localhost/mine": False,
    "ghcr.io/openhands/../evil/x": False,
    "ghcr.io/openhands/./x": False,
    "ghcr.io/openhands//x": False,
    "ghcr.io/openhands/..": False,
    "ghcr.io/openhands/x%2f..%2fy": False,
    "ghcr.io\\openhands/x": False,
    "ghcr.io/openhands/x ": False,
    " ghcr.io/openhands/x": False,
    "ghcr.io/openhands/x\n": False,
    "ghcr.io/openhands/x\nghcr.io/openhands/y": False,
    "ghcr.i\u043e/openhands/x": False,
    "ghcr.io/\u03bfpenhands/x": False,
    "ghcr\u3002io/openhands/x": False,
    "ghcr.io\uff0fopenhands/x": False,
    "ghcr.io/openhands/x\u200b": False,
    "ghcr.io/openhands/*": False,
    'ghcr.io/openhands/x" || true || "': False,
    "ghcr.io/openhands/x?tag=1": False,
    "ghcr.io/openhands/x#1": False,
    # A port, and one repository.
    "registry.example:5000/team/agent": True,
    "registry.example:5000/team/agent:any": True,
    f"registry.example:5000/team/agent@{OTHER}": True,
    "registry.example:5000/team/agent/x": False,
    "registry.example:5000/team/agent-x": False,
    "registry.example/team/agent": False,
    "registry.example:05000/team/agent": False,
    "registry.example:5000:5000/team/agent": False,
    # One tag: a digest beside it decides what is pulled, so the tag says nothing then.
    "quay.io/team/agent:1.2": True,
    "quay.io/team/agent": False,
    "quay.io/team/agent:latest": False,
    "quay.io/team/agent:1.20": False,
    "quay.io/team/agent:1X2": False,
    f"quay.io/team/agent:1.2@{DIGEST}": False,
    f"quay.io/team/agent@{DIGEST}": False,
    "quay.io/team/agent:1.2:1.2": False,
    "quay.io/team/latest": True,
    "quay.io/team/latest:latest": True,
    f"quay.io/team/latest@{DIGEST}": False,
    # One digest.
    f"quay.io/team/pinned@{DIGEST}": True,
    f"quay.io/team/pinned:whatever@{DIGEST}": True,
    f"quay.io/team/pinned@{OTHER}": False,
    f"quay.io/team/pinned@{OTHER}@{DIGEST}": False,
    f"quay.io/team/pinned@{DIGEST.upper()}": False,
    f"quay.io/team/pinned@{DIGEST[:-2]}": False,
    "quay.io/team/pinned": False,
    "quay.io/team/pinned:sha256": False,
    # Any digest.
    f"gcr.io/any/thing@{OTHER}": True,
    f"gcr.io/any@{OTHER}": True,
    "gcr.io/any/thing:1": False,
    "gcr.io/any/thing": False,
    "gcr.io/any/thing@sha256:*": False,
    f"gcr.io/any/thing@sha512:{'0' * 128}": False,
    f"gcr.io/any/thing@sha1:{'0' * 40}": False,
    # Docker Hub has several names, and images without a path are in library/.
    "python:3.13": True,
    "docker.io/python:3.13": True,
    "library/python:3.13": True,
    "docker.io/library/python:3.13": True,
    "index.docker.io/library/python:3.13": True,
    "index.docker.io/python:3.13": True,
    "python": False,
    "evil/python:3.13": False,
    "python.evil/python:3.13": False,
    "registry-1.docker.io/library/python:3.13": False,
    "docker.io/evil/library/python:3.13": False,
    "docker.io:443/library/python:3.13": False,
    "team/agent": True,
    "docker.io/team/agent:1": True,
    "Docker.io/team/agent": False,
    "team.io/agent": False,
    "team:5000/agent": False,
    "team": False,
    "team:1": False,
    f"redis@{DIGEST}": True,
    f"redis:7@{DIGEST}": True,
    "redis:7": False,
    "mirror.index.docker.io/python": True,
    "mirror.docker.io/python": False,
    # The ids of images on the node, and what looks like one.
    DIGEST: False,
    "sha256:0a0a": False,
    "docker.io/sha256:0a0a": True,
    "sha256": True,
    "sha512:0a": False,
    "0a" * 32: False,
    # A name without a dot is a registry only if it is localhost.
    "localhost/mine": True,
    "localhost:5000/mine": False,
    "localhost": False,
    "mine": False,
}

_GOOD = [image for image, allowed in CASES.items() if allowed]
_PIECES = [
    "",
    *"aA0.:/@-_*\\ \n%\u043e",
    "..",
    "//",
    "-a",
    "/a",
    ":1",
    "ghcr.io",
    "docker.io/",
    "library/",
    "sha256:",
    DIGEST,
]


def mutation(seed: int) -> str:
    """An image of the table with up to two changes, allowed in about one of five cases; not empty."""
    dice = random.Random(seed)
    image = dice.choice(dice.choice([_GOOD, list(CASES)]))
    for _ in range(dice.randrange(3)):
        start = dice.randrange(len(image) + 1)
        end = start + dice.choice([0, 0, 1, 2, len(image)])
        image = image[:start] + dice.choice(_PIECES) + image[end:]
    return image or "a"
