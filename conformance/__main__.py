"""`python -m conformance`: see --help."""

from conformance.cli import app

app(prog_name="conformance")
