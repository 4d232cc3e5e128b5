"""`python -m docs_site reference`, `build` or `serve`: see `--help`."""

import typer

from docs_site import reference, site

app = typer.Typer(help="The site of the documentation.", no_args_is_help=True)


@app.command("reference")
def write_reference() -> None:
    """Write the reference pages from the models."""
    reference.write()


@app.command()
def build() -> None:
    """Build the site in build/docs/site. Fails for a broken link, or a page that loads something from elsewhere."""
    site.build()


@app.command()
def serve() -> None:
    """Build the site and serve it on this machine, with changes of the pages."""
    site.serve()


if __name__ == "__main__":
    app()
