"""The command `kubectl-ohsb`."""

import sys

import click

from kubectl_ohsb.images import images
from kubectl_ohsb.keys import keys
from kubectl_ohsb.sandboxes import changing, explaining, listing, opening, pools, starting, top
from kubectl_ohsb.sandboxes import logs as log
from kubectl_ohsb.usage import usage
from sandbox_common import logs


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def ohsb() -> None:
    """OpenHands sandboxes on Kubernetes."""


ohsb.add_command(listing.command)
ohsb.add_command(explaining.command)
ohsb.add_command(log.command)
ohsb.add_command(opening.command)
ohsb.add_command(starting.command)
ohsb.add_command(changing.pause)
ohsb.add_command(changing.resume)
ohsb.add_command(changing.stop)
ohsb.add_command(pools.command)
ohsb.add_command(top.command)
ohsb.add_command(keys)
ohsb.add_command(images)
ohsb.add_command(usage)


def main() -> None:
    """Exit with 0 when all is done, with 1 when the cluster or its state refuses it, with 2 for wrong options."""
    # Without messages about repeated requests. Standard output is for data.
    logs.configure("ERROR", "console", sys.stderr)
    ohsb.main(prog_name="kubectl ohsb")
