"""The Runtime API's contract as tests that run against any server: `python -m conformance --help`."""
