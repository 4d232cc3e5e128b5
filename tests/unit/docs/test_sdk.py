"""docs/sdk.md names the scenarios that there are."""

import re

from cluster.sdk_scenarios import EXPECTED
from local_cluster.paths import ROOT


def test_the_table_has_each_scenario() -> None:
    text = (ROOT / "docs" / "sdk.md").read_text()
    modules = "|".join({name.partition(".")[0] for name in EXPECTED})
    assert set(re.findall(rf"`((?:{modules})\.\w+)`", text)) == set(EXPECTED)
