"""`python -m release --help`: the chart of a commit, and what its controller image is made from, in tests/releases."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated

import typer
import yaml

from images.recipes import copied_paths
from local_cluster.build import binary, ensure
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

CHART = "helm/openhands-sandbox"


def main(
    commit: Annotated[str, typer.Argument(help="The release.")] = "HEAD",
    repository: Annotated[Path, typer.Option(help="Where it is from.")] = ROOT,
    directory: Annotated[Path, typer.Option(help="Where it is kept.")] = ROOT / "tests" / "releases",
) -> None:
    """Keep the release of a commit, in the place of the one before."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", "-C", repository, *arguments], stdout=subprocess.PIPE, check=True).stdout

    def file(path: str) -> str:
        return git("show", f"{commit}:{path}").decode()

    progress = Progress()
    version: str = tomllib.loads(file("pyproject.toml"))["project"]["version"]
    if version != yaml.safe_load(file(f"{CHART}/Chart.yaml"))["version"] or "dev" in version:
        raise ClusterError(
            f"{version} in pyproject.toml of {commit} is no release, or not that of the chart",
            remedy="set the version there, then: make generate",
        )
    ensure(["helm"], progress)
    for former in [*directory.glob("*.tgz"), *directory.glob("*.tar.gz")]:
        former.unlink()
    # The names of what is copied are plain ones, so git takes them as they are.
    inputs = ["Dockerfile", *copied_paths(file("Dockerfile"))]
    source = directory / f"controller-image-{version}.tar.gz"
    source.write_bytes(git("archive", "--format=tar.gz", commit, *inputs))
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["tar", "-x", "-C", scratch], input=git("archive", commit, CHART), check=True)
        package = [binary("helm"), "package", Path(scratch, CHART), "--destination", directory]
        subprocess.run(package, stdout=subprocess.DEVNULL, check=True)
    progress.say(f"{source}\n{directory / f'openhands-sandbox-{version}.tgz'}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except (ClusterError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
