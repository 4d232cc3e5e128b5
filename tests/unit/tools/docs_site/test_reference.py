"""The reference pages are those of the models."""

import pytest

from docs_site.reference import pages
from local_cluster.paths import ROOT
from sandbox_crds.models import SandboxSpec
from sandbox_gateway.settings import Settings


@pytest.mark.parametrize("name", ["crds.md", "settings.md"])
def test_the_page_is_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == pages()[name], "stale: run `make generate`"


def test_every_field_has_a_row() -> None:
    fields = {field.alias or name for name, field in SandboxSpec.model_fields.items()}
    text = pages()["crds.md"]
    assert {field for field in fields if f"| `{field}` |" not in text} == set()


def test_every_setting_but_the_internal_one_has_a_row() -> None:
    text = pages()["settings.md"]
    missing = {name for name in Settings.model_fields if f"| `SANDBOX_GATEWAY_{name.upper()}` |" not in text}
    assert missing == {"worker_socket"}
