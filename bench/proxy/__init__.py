"""The data plane beside nginx and beside a gateway as it is written naively: `python -m bench.proxy --help`."""
