"""`python -m demo`: see --help."""

from demo.cli import app

app(prog_name="demo")
