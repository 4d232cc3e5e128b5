"""Compiles the modules that every request passes, with mypyc, while the project's wheel is built.

Only where HATCH_BUILD_HOOK_ENABLE_CUSTOM=true asks for it, as the image's Dockerfile does: it takes a C compiler. The
wheel then has the modules' sources beside the compiled ones. Without it, everything works the same, but slower.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGES = ("crds/sandbox_crds", "common/sandbox_common", "api_gateway/sandbox_gateway")
"""Their own package, and the packages of the project that they import."""
_MODULES = (
    "sandbox_gateway/process/activity.py",
    *(
        f"sandbox_gateway/proxy/{name}.py"
        for name in (
            *("answers", "awaited", "client", "context", "credentials", "exchange", "fair", "framing", "head"),
            *("headers", "memo", "meter", "places", "routing", "shares", "turns", "upstream"),
        )
    ),
    "sandbox_gateway/process/tallies.py",
)


class CompileHook(BuildHookInterface[Any]):
    """See hatchling's custom build hooks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the results to the wheel."""
        del version
        self._place = Path(tempfile.mkdtemp(prefix="compile-"))
        for package in _PACKAGES:
            source = Path(self.root, package)
            shutil.copytree(source, self._place / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        if subprocess.run([sys.executable, __file__], cwd=self._place).returncode:
            shutil.rmtree(self._place)
            sys.exit("Not compiled. The output above says why.")  # shorter than a traceback
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        for path in self._place.rglob("*.so"):
            if "build" not in path.relative_to(self._place).parts:
                build_data["force_include"][str(path)] = str(path.relative_to(self._place))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        del version, build_data, artifact_path
        shutil.rmtree(self._place)


def _compile() -> None:
    """Compile in the current directory, which has the packages."""
    from mypyc.build import mypycify
    from setuptools import setup

    # pyright checks the types, with those of all libraries. Here they are used only for speed.
    arguments = ["--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent", *_MODULES]
    modules = mypycify(arguments, opt_level="3", debug_level="0")
    setup(name="compiled", packages=[], ext_modules=modules, script_args=["--quiet", "build_ext", "--inplace"])


if __name__ == "__main__":
    _compile()
