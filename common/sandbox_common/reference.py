"""Generates the reference page of reasons: `python -m sandbox_common.reference FILE` writes it."""

import argparse
from pathlib import Path

from sandbox_common.losses import LOSSES
from sandbox_common.reasons import EXPIRIES, IMAGES_MEANINGS, MEANINGS, POOL_MEANINGS, Meaning

_HEAD = """\
# Reasons

Generated from `common/sandbox_common/reasons.py` by `make generate`. Do not edit.

## Ready

The condition `Ready` of a Sandbox has one of these reasons. Its message has the evidence and ends with the remedy.
`status` and `pod_status` are the values that the Runtime API gives its clients.

- *final*: trying again cannot help, so a client's start ends at once. A start also ends at once when its owner has
  reached a limit and too many starts wait already.
- *passing*: Kubernetes or the operator keeps trying. The sandbox is `starting` and `pending` with its cause, and
  becomes `error` and `failed` when the start has lasted for [`pendingTimeoutSeconds`](lifecycle.md#failures).

| Reason | Meaning | status | pod_status | | Remedy |
|---|---|---|---|---|---|
"""

_EXPIRING = """
## Expiring

The condition `Expiring` and an Event `ExpiringSoon` announce that the sandbox will be deleted, and when.

| Reason | Meaning | Remedy |
|---|---|---|
"""

_LOSSES = """
## Losses

If a pod is lost although nobody paused, stopped or restarted its sandbox, the operator replaces it and records an
Event `PodLost`. For the rest of the sandbox's life, `status.lostPods` counts such pods, and `status.lastLoss` says when
and why the last one was lost, and what happened to `/workspace`. Clients see the loss in `restart_count`,
`restart_reasons`, `events` and `/explain`.

| Reason | Meaning | Remedy |
|---|---|---|
"""

_POOLS = """
## Ready, of a SandboxPool

The condition is `True` when all free pods exist and are ready. Claimed pods do not count and are not affected.

| Reason | Meaning | Remedy |
|---|---|---|
"""

_IMAGES = """
## Ready, of a SandboxImages

The condition is `True` when all images that are wanted now are on all nodes. A second condition, `Duplicates`, names
images that the list has more than once.

| Reason | Meaning | Remedy |
|---|---|---|
"""


def page() -> str:
    """The page as Markdown."""
    ready = [
        f"| `{reason}` | {meaning.text} | {meaning.lifecycle} | {meaning.pod_status} | "
        f"{_persistence(meaning)} | {meaning.remedy} |\n"
        for reason, meaning in MEANINGS.items()
    ]
    expiring = [f"| `{reason}` | {expiry.text} | {expiry.remedy} |\n" for reason, expiry in EXPIRIES.items()]
    losses = [f"| `{reason}` | {meaning.text} | {meaning.remedy} |\n" for reason, meaning in LOSSES.items()]
    pools = [f"| `{reason}` | {meaning.text} | {meaning.remedy} |\n" for reason, meaning in POOL_MEANINGS.items()]
    images = [f"| `{reason}` | {meaning.text} | {meaning.remedy} |\n" for reason, meaning in IMAGES_MEANINGS.items()]
    return "".join([_HEAD, *ready, _EXPIRING, *expiring, _LOSSES, *losses, _POOLS, *pools, _IMAGES, *images])


def _persistence(meaning: Meaning) -> str:
    if meaning.lifecycle == "error":
        return "final"
    return "passing" if meaning.passing else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the page of reasons.")
    parser.add_argument("file", type=Path, help="where to write it")
    parser.parse_args().file.write_text(page())


if __name__ == "__main__":
    main()
