"""The reference page of reasons, generated: `python -m sandbox_common.reference FILE` writes it."""

import argparse
from pathlib import Path

from sandbox_common.losses import LOSSES
from sandbox_common.reasons import EXPIRIES, MEANINGS, POOL_MEANINGS, Meaning

_HEAD = """\
# Reasons

Generated from `common/sandbox_common/reasons.py` by `make generate`. Do not edit.

## Ready

The condition `Ready` of a Sandbox has one of these reasons; its message has the evidence and ends with the remedy.
`status` and `pod_status` are what the Runtime API tells its clients. "final" says that repetition cannot mend it: a
client's start ends at once. So it does when a limit leaves no room and too many wait. What is "passing", Kubernetes or
the operator goes on trying: it is `starting` and `pending` with its cause, and becomes `error` and `failed` when the
start has lasted
[`pendingTimeoutSeconds`](lifecycle.md#failures).

| Reason | Meaning | status | pod_status | | Remedy |
|---|---|---|---|---|---|
"""

_EXPIRING = """
## Expiring

The condition `Expiring` announces that the sandbox will be deleted, and when; so does an Event `ExpiringSoon`.

| Reason | Meaning | Remedy |
|---|---|---|
"""

_LOSSES = """
## Losses

A pod that goes without its sandbox being paused, stopped or restarted is replaced, and told of for as long as the
sandbox lives: `status.lostPods` counts them, `status.lastLoss` has when, why, and what became of `/workspace`. An Event
`PodLost` says so at once. Clients see it in `restart_count`, `restart_reasons`, `events` and `/explain`.

| Reason | Meaning | Remedy |
|---|---|---|
"""

_POOLS = """
## Ready, of a SandboxPool

It is `True` when all free pods are there and ready. Claimed pods do not count, and nothing here touches them.

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
    return "".join([_HEAD, *ready, _EXPIRING, *expiring, _LOSSES, *losses, _POOLS, *pools])


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
