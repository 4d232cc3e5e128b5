"""Command line: `python -m kind_node` puts the node image into the Docker engine and prints its name. Needs root."""

import sys

from kind_node.image import build
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress

if __name__ == "__main__":
    try:
        print(build(Progress()))
    except ClusterError as error:
        sys.exit(str(error))
