"""`helm upgrade --reuse-values` from each earlier chart: its values alone meet the templates of today."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from unit.helm.rendering import CHART, Helm, Manifest, RefusedError, find

DEFAULTS = CHART / "files" / "defaults.json"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
PATCHES: list[dict[str, Any]] = list(yaml.safe_load_all((Path(__file__).parent / "earlier_values.yaml").read_text()))


def merged(values: Any, patch: Any) -> Any:
    """The values with a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(cast("dict[str, Any]", values)) if isinstance(values, dict) else {}
    for key, part in cast("dict[str, Any]", patch).items():
        if part is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), part)
    return result


def earlier(number: int) -> dict[str, Any]:
    """All values of this chart, counted from the oldest."""
    values: dict[str, Any] = {}
    for patch in PATCHES[: number + 1]:
        values = merged(values, patch)
    return values


@pytest.fixture
def reusing(helm: Helm, tmp_path: Path) -> Any:
    """Renders as `--reuse-values` does: the chart of today, whose own values are replaced by those of before."""

    def render(values: dict[str, Any]) -> list[Manifest]:
        chart = tmp_path / "chart"
        shutil.copytree(CHART, chart, dirs_exist_ok=True)
        (chart / "values.yaml").write_text(json.dumps(values))
        return helm.render(chart=chart)

    return render


def without(kinds: set[str], manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] not in kinds]


def test_the_defaults_are_those_of_the_values() -> None:
    text = json.dumps(VALUES, indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        DEFAULTS.write_text(text)
    assert DEFAULTS.read_text() == text, "UPDATE_GOLDEN=1 pytest tests/unit/helm renews it"


def test_the_values_of_today_are_the_last_of_the_earlier_ones() -> None:
    assert earlier(len(PATCHES)) == VALUES, "append a merge patch to earlier_values.yaml"


@pytest.mark.parametrize("number", range(len(PATCHES)))
def test_the_values_of_an_earlier_chart_render_as_before(reusing: Any, defaults: list[Manifest], number: int) -> None:
    values = earlier(number)
    rendered = reusing(values)
    # Secrets are random, and a class stays just as it was.
    assert without({"Secret", "SandboxClass"}, rendered) == [
        _with_start_timeout(manifest, values) for manifest in without({"Secret", "SandboxClass"}, defaults)
    ]
    assert find(rendered, "SandboxClass")["spec"] == values["sandboxClasses"]["default"]


def _with_start_timeout(manifest: Manifest, values: dict[str, Any]) -> Manifest:
    """The one default outside of classes that has ever changed."""
    if manifest["kind"] != "Pod":
        return manifest
    now = f"--start-timeout={VALUES['test']['startTimeoutSeconds']}"
    return json.loads(json.dumps(manifest).replace(now, f"--start-timeout={values['test']['startTimeoutSeconds']}"))


def test_a_chart_without_any_values_renders_as_the_defaults(reusing: Any, defaults: list[Manifest]) -> None:
    assert without({"Secret"}, reusing({})) == without({"Secret"}, defaults)


def test_what_has_names_of_its_own_gets_none_from_the_defaults(reusing: Any) -> None:
    values = merged(
        VALUES,
        {
            "sandboxClasses": {"default": None, "mine": {}},
            "networkPolicy": {"egressProfiles": {"Internet": None}},
            "gateway": {"resources": {"limits": None}},
        },
    )
    rendered = reusing(values)
    assert find(rendered, "SandboxClass")["metadata"]["name"] == "mine"
    assert [item for item in rendered if item["metadata"]["name"].endswith("-egress-internet")] == []
    [container] = find(rendered, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"]
    assert set(container["resources"]) == {"requests"}


@pytest.mark.parametrize("reused", [True, False])
def test_an_internet_that_was_closed_stays_closed(helm: Helm, reusing: Any, reused: bool) -> None:
    rule = {"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]}
    before = {"networkPolicy": {"sandbox": {"internet": False, "extraEgress": [rule]}}}
    # --reuse-values hands over all values of before, --reset-then-reuse-values only those that were set.
    rendered = reusing(merged(earlier(0), before)) if reused else helm.render(before)
    profile = find(rendered, "NetworkPolicy", "egress-internet")["spec"]["egress"]
    assert rule in profile
    assert "ipBlock" not in json.dumps(profile)
    with_internet = reusing(merged(earlier(0), {"networkPolicy": {"sandbox": {"extraEgress": [rule]}}}))
    profile = find(with_internet, "NetworkPolicy", "egress-internet")["spec"]["egress"]
    assert rule in profile
    assert "0.0.0.0/0" in json.dumps(profile)


def test_a_misspelt_key_is_refused_all_the_same(reusing: Any) -> None:
    with pytest.raises(RefusedError, match="'gatway' not allowed"):
        reusing({**earlier(0), "gatway": {}})
