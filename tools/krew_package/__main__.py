"""`python -m krew_package --help`: archives of the plugin and their manifest, in dist/krew."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Annotated

import typer
import yaml

from krew_package.manifest import NAME, PLATFORMS, PROGRAM, Platform, manifest
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

PYTHONS = ("3.12", "3.13", "3.14")
_SCRIPT = """\
#!/usr/bin/env python3
import sys
from pathlib import Path

packages = Path(__file__).resolve().parent / "python{}.{}".format(*sys.version_info[:2])
if not packages.is_dir():
    sys.exit("kubectl ohsb needs Python %s as python3, and this is {}.{}".format(*sys.version_info[:2]))
sys.path.insert(0, str(packages))

from kubectl_ohsb.main import main

main()
"""


def _install(platform: Platform, python: str, wheel: Path, target: Path) -> None:
    """The locked packages and the project's wheel, for another machine: nothing is compiled or run."""
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--only-binary=:all:"]
    there = [f"--target={target}", f"--python-platform={platform.wheels}", f"--python-version={python}"]
    lock = ROOT / "requirements.lock.txt"
    subprocess.run([*uv, *there, "--require-hashes", "--no-deps", "--requirement", lock], check=True)
    subprocess.run([*uv, *there, "--no-deps", wheel], check=True)


def _archive(platform: Platform, wheel: Path, directory: Path) -> str:
    """Write the platform's archive; gives its SHA-256."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for python in PYTHONS:
            _install(platform, python, wheel, place / f"python{python}")
        script = place / PROGRAM
        script.write_text(_SCRIPT % ", ".join(PYTHONS))
        script.chmod(0o755)
        shutil.copy(ROOT / "LICENSE", place)
        path = directory / platform.archive
        # krew knows no links, and uv makes hard ones.
        with tarfile.open(path, "w:gz", dereference=True) as archive:
            for part in sorted(place.iterdir()):
                archive.add(part, part.name)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(
    url: Annotated[str, typer.Option(help="Where the archives will be, without their names.")],
    platforms: Annotated[
        list[str] | None, typer.Option("--platform", help="Such as linux-amd64. Default: all.")
    ] = None,
    directory: Annotated[Path, typer.Option(help="Where they are written.")] = ROOT / "dist" / "krew",
) -> None:
    """Write archives and manifest. Publish the archives, and install by `kubectl krew install --manifest`."""
    if not url.startswith("https://"):
        raise typer.BadParameter(f"{url!r} does not begin with https://", param_hint="--url")
    known = {f"{one.os}-{one.arch}": one for one in PLATFORMS}
    if unknown := set(platforms or ()) - set(known):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(known)}", param_hint="--platform")
    chosen = [known[name] for name in platforms or known]
    progress = Progress()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        uv = Path(sys.executable).with_name("uv")
        build = [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
        subprocess.run([*build, "--out-dir", scratch, ROOT], check=True)
        [wheel] = Path(scratch).glob("*.whl")
        digests: dict[Platform, str] = {}
        for platform in chosen:
            with progress.step(f"package for {platform.os}-{platform.arch}"):
                digests[platform] = _archive(platform, wheel, directory)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = yaml.safe_dump(manifest(version, url, ", ".join(PYTHONS), digests), sort_keys=False)
    (directory / f"{NAME}.yaml").write_text(text)
    progress.say(f"{directory / NAME}.yaml")


if __name__ == "__main__":
    typer.run(main)
