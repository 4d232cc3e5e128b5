"""Building from Go modules, with small modules of the tests' own."""

import contextlib
import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from local_cluster import build
from local_cluster.build import Family
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

GO_MOD = """\
module example

require k8s.io/one v1.2.3

require (
\tk8s.io/kubernetes v1.36.3
\tk8s.io/kubernetes-extra v9.9.9 // indirect
)
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the families `good` and `bad` (which does not compile) instead of the real ones."""
    # Go's own cache lies below the same directory unless it is named: with an empty one Go compiles its library.
    monkeypatch.setenv(
        "GOCACHE", subprocess.run(["go", "env", "GOCACHE"], capture_output=True, text=True).stdout.strip()
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "TOOLS", tmp_path)
    families = {name: Family(name, (name,), packages=(".",)) for name in ("good", "bad")}
    monkeypatch.setattr(build, "FAMILIES", families)
    for name, body in (("good", 'println("v1")'), ("bad", "undefined()")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "go.mod").write_text(f"module {name}\n\ngo 1.26.0\n")
        (tmp_path / name / "main.go").write_text(f"package main\n\nfunc main() {{ {body} }}\n")
    return tmp_path


def quiet() -> Progress:
    return Progress(io.StringIO())


@pytest.mark.parametrize(("module", "version"), [("k8s.io/kubernetes", "v1.36.3"), ("k8s.io/one", "v1.2.3")])
def test_a_version_is_read_from_the_requirements(module: str, version: str) -> None:
    assert build.required_version(GO_MOD, module) == version


@pytest.mark.parametrize("module", ["k8s.io/kube", "k8s-io/kubernetes", "example"])
def test_a_module_that_is_not_required_has_no_version(module: str) -> None:
    with pytest.raises(ValueError, match="does not require"):
        build.required_version(GO_MOD, module)


def test_every_real_family_is_a_pinned_module_with_a_version_to_stamp() -> None:
    for family in build.FAMILIES.values():
        text = (family.source / "go.mod").read_text()
        assert family.packages == (".",) or ("tool " in text and (family.source / "go.sum").exists())
        if family.version_of:
            assert build.required_version(text, family.version_of).startswith("v")


def test_families_of_one_track_share_what_they_compile_of_kubernetes() -> None:
    """Raise a version everywhere: `go get MODULE@VERSION` and `go mod tidy` in each directory that requires it."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for family in build.FAMILIES.values():
        for name in ("api", "apimachinery", "client-go"):
            with contextlib.suppress(ValueError):
                version = build.required_version((family.source / "go.mod").read_text(), f"k8s.io/{name}")
                wanted.setdefault((family.track, name), set()).add(version)
    assert {len(versions) for versions in wanted.values()} == {1}, wanted


def test_a_failed_build_begins_no_other_of_its_track(modules: Path) -> None:
    with pytest.raises(ClusterError, match="building bad failed"):
        build.ensure(["bad", "good"], quiet())
    assert not build.directory("good").exists()


def test_what_is_built_runs_and_is_not_built_again(modules: Path) -> None:
    out = io.StringIO()
    build.ensure(["good"], Progress(out))
    done = subprocess.run([build.binary("good")], capture_output=True, text=True)
    assert done.stderr == "v1\n"
    assert "build good" in out.getvalue()

    again = io.StringIO()
    build.ensure(["good"], Progress(again))
    assert again.getvalue() == ""


def test_a_change_of_the_source_means_another_directory(modules: Path) -> None:
    before = build.directory("good")
    main = modules / "good" / "main.go"
    main.write_text(main.read_text().replace("v1", "v2"))
    assert build.directory("good") != before
    main.write_text(main.read_text().replace("v2", "v1"))
    assert build.directory("good") == before
    (modules / "good" / "inner").mkdir()
    (modules / "good" / "inner" / "inner.go").write_text("package inner\n")
    assert build.directory("good") != before


def test_two_runs_at_once_build_it_once(modules: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(build.ensure, ["good"], quiet()) for _ in range(2)]:
            run.result()
    made = [path.name for path in (modules / "cache/openhands-sandbox/bin").iterdir() if path.is_dir()]
    assert made == [build.directory("good").name]


def test_a_failed_build_names_its_log_and_leaves_no_directory(modules: Path) -> None:
    with pytest.raises(ClusterError, match="building bad failed") as failure:
        build.ensure(["bad"], quiet())
    text = str(failure.value)
    assert "undefined: undefined" in text
    assert f"log: {build.directory('bad')}.log" in text
    assert "remedy:" in text
    assert not build.directory("bad").exists()


def test_a_binary_that_was_not_built_is_asked_for(modules: Path) -> None:
    with pytest.raises(ClusterError, match="good is not built") as failure:
        build.binary("good")
    assert "tools/local-cluster build good" in str(failure.value)


def test_without_go_the_remedy_names_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(shutil, "which", nothing)
    build.go_version.cache_clear()
    with pytest.raises(ClusterError, match="Go compiler is missing") as failure:
        build.directory("containerd")
    assert "install Go 1.26" in str(failure.value)


def test_an_older_kubernetes_is_chosen_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(build.KUBERNETES_VARIABLE, raising=False)
    assert build.kubernetes() == "kubernetes"
    for version in build.OLDER_KUBERNETES:
        monkeypatch.setenv(build.KUBERNETES_VARIABLE, version)
        family = build.FAMILIES[build.kubernetes()]
        built = build.required_version((family.source / "go.mod").read_text(), family.version_of)
        assert built.startswith(f"v{version}.")
        assert build.kubernetes_version() == tuple(map(int, version.split(".")))
    monkeypatch.setenv(build.KUBERNETES_VARIABLE, "1.2")
    with pytest.raises(ClusterError, match=r"KUBERNETES=1\.2 is not known"):
        build.kubernetes()


def test_the_oldest_kubernetes_is_that_of_the_chart() -> None:
    chart = yaml.safe_load((ROOT / "helm" / "openhands-sandbox" / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={build.OLDER_KUBERNETES[0]}.0-0"
