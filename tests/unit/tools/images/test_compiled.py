"""The packages with their hot path compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from images.compiled import compiled
from local_cluster.errors import ClusterError

COMPILED = ("sandbox_gateway.proxy.client", "sandbox_gateway.proxy.head", "sandbox_gateway.process.activity")
NOT_COMPILED = ("sandbox_gateway.proxy.tunnel", "sandbox_common.keys", "sandbox_operator.sandboxes.plan")


def origin(place: Path, module: str) -> Path:
    """The file that a module is imported from."""
    program = f"import importlib; print(importlib.import_module({module!r}).__file__)"
    environment = os.environ | {"PYTHONPATH": str(place)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


def test_the_hot_path_is_compiled_and_the_rest_comes_along() -> None:
    place = compiled()
    found = {module: origin(place, module) for module in (*COMPILED, *NOT_COMPILED)}
    assert all(path.is_relative_to(place) for path in found.values())
    assert [module for module, path in found.items() if path.suffix == ".so"] == [*COMPILED]


def test_without_a_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "/no/such/compiler")
    with pytest.raises(ClusterError, match=r"no compiler /no/such/compiler(?s:.*)set CC"):
        compiled()
    assert not list(tmp_path.glob("openhands-sandbox/compiled/*"))


def test_what_debian_has_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    headers: dict[str, str] = {"include": str(tmp_path)}
    monkeypatch.setattr("sysconfig.get_path", headers.__getitem__)
    with pytest.raises(
        ClusterError, match=r"missing: gcc, libc6-dev, python3\.[0-9]+-dev \(names of Debian packages\)"
    ):
        compiled()
