"""Fuzz the data plane with atheris, guided by coverage (Linux on x86-64)."""

import tempfile
from pathlib import Path
from typing import Annotated

import structlog
import typer


def main(
    target: Annotated[str, typer.Argument(help="request-heads, response-heads, chunks or exchanges.")],
    runs: Annotated[int, typer.Option(help="How many inputs.")] = 1_000_000,
    seconds: Annotated[int, typer.Option(help="For how long at most; 0 for no end.")] = 0,
    corpus: Annotated[Path | None, typer.Option(help="Where to keep what was interesting, for the next time.")] = None,
    found: Annotated[Path, typer.Option(help="Where to put an input that fails.")] = Path("build/fuzz"),
) -> None:
    """Try many inputs, beginning with the tables of the unit tests. Ends with status 77 at the first that fails."""
    import atheris  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), wrapper_class=structlog.BoundLogger)
    with atheris.instrument_imports(include=["sandbox_gateway.proxy"]):  # pyright: ignore
        from fuzz.corpus import seeds
        from fuzz.targets import TARGETS
    if target not in TARGETS:
        raise typer.BadParameter(f"One of {', '.join(TARGETS)}.", param_hint="TARGET")
    with tempfile.TemporaryDirectory() as temporary:
        folder = corpus or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(seeds(target)):
            (folder / f"seed-{number}").write_bytes(data)
        options = [
            f"-runs={runs}",
            f"-max_total_time={seconds}",
            "-max_len=2048",
            "-timeout=10",
            "-print_final_stats=1",
        ]
        atheris.Setup(["fuzz", *options, f"-artifact_prefix={found}/", str(folder)], TARGETS[target])  # pyright: ignore
        atheris.Fuzz()  # pyright: ignore


if __name__ == "__main__":
    typer.run(main)
