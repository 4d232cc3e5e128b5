"""What counts as a pin in a lock file."""

import pytest

from local_cluster.paths import ROOT
from supply_chain import locks
from supply_chain.locks import Lock, Pin

HASH = "0" * 64
OTHER = "1" * 64


def test_reads_what_uv_writes() -> None:
    text = f"""\
attrs==26.1.0 \\
    --hash=sha256:{OTHER} \\
    --hash=sha256:{HASH}
    # via
    #   aiohttp
    #   jsonschema
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{HASH}
    # via click
"""
    attrs, colorama = locks.parse(text)
    assert attrs == Pin("attrs", "26.1.0", "", (HASH, OTHER), ("aiohttp", "jsonschema"))
    assert colorama == Pin("colorama", "0.4.6", 'sys_platform == "win32"', (HASH,), ("click",))
    assert (attrs.in_images, colorama.in_images) == (True, False)


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "./wheels/a.whl",
        "a @ https://example.com/a.whl",
        "git+https://example.com/a.git",
        "--index-url https://example.com/simple",
        "--find-links wheels",
        "a>=1",
        "a",
        "a==1.*",
        "A==1",
        f"a==1 --hash=md5:{HASH}",
        f"a==1 --hash=sha256:{HASH[:63]}",
        f"a==1 ; nonsense --hash=sha256:{HASH}",
    ],
)
def test_refuses_what_is_no_pin(line: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        locks.parse(f"b==1 \\\n    --hash=sha256:{HASH}\n{line}\n")


@pytest.mark.parametrize("lock", list(Lock))
def test_reads_every_lock_of_the_project(lock: Lock) -> None:
    pins = locks.read(lock)
    text = (ROOT / lock).read_text()
    assert len(pins) == text.count("==") - text.count(" ==") >= 5
    assert sum(len(pin.hashes) for pin in pins) == text.count("--hash=sha256:")
    assert all(pin.required_by for pin in pins)
