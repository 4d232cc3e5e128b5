"""What a start asks for."""

from datetime import timedelta

import pytest
from click.testing import CliRunner

from kubectl_ohsb.main import ohsb
from kubectl_ohsb.sandboxes.starting import spec_of


def test_only_what_is_given_is_in_the_spec() -> None:
    assert spec_of("agent:1", None, None, None) == {"image": "agent:1"}
    assert spec_of("agent:1", "big", "4", timedelta(0)) == {
        "image": "agent:1",
        "className": "big",
        "resourceFactor": 4,
        "idleTimeoutSeconds": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--image"),
        (["--image", "B//c"], "--image"),
        (["--image", "a\x1b[2J"], "--image"),
        (["--image", "a", "--env", "A"], "NAME=VALUE"),
        (["--image", "a", "--env", "1A=b"], "NAME=VALUE"),
        (["--image", "a", "--env", "OH_SECRET_KEY=x"], "belongs to the operator"),
        (["--image", "a", "--env", "OHSB_CLASS=x"], "belongs to the operator"),
        (["--image", "a", "--session-id", "\x1b"], "--session-id"),
        (["--image", "a", "--resource-factor", "3"], "--resource-factor"),
    ],
)
def test_wrong_options_are_named_without_values(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(ohsb, ["start", *arguments])
    assert result.exit_code == 2
    assert named in result.output
    assert "\x1b" not in result.output
