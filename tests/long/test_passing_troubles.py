"""Troubles that pass, and some that do not, as the unmodified SDK meets them: all at the same time, since each lasts.

The seconds from the SDK's call to its end are printed: `pytest -s`.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from images.build import build
from images.recipes import ImageName
from local_cluster.paths import State
from local_cluster.progress import Progress
from long.registry import Registry, serving
from long.troubles import ALL, FINAL, NETWORK, NOWHERE, PASSING, STARTS, Start, troubled, without_network

LASTS = 45
NAMED_WITHIN = 15
"""Seconds from the SDK's call to its exception, for those that end badly: on a machine that does nothing else."""


@dataclass
class Told:
    """What has been told of a start: different answers of GET /sessions/{session_id}, and what the SDK said at last."""

    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    said: str = ""
    seconds: float = 0

    def look(self, site: Site, case: str) -> None:
        answer = site.gateway.get(f"/sessions/{session_of(case)}", headers={"X-API-Key": ALL[case].key})
        if answer.status_code == 200:
            seen = {name: answer.json()[name] for name in ("status", "pod_status", "status_detail")}
            self.answers += [] if seen in self.answers else [seen]

    def missing(self, words: tuple[str, ...]) -> list[str]:
        """Those of the words that no answer has."""
        details = "\n".join(str(seen["status_detail"]) for seen in self.answers)
        return [word for word in words if word not in details]


@dataclass(frozen=True)
class Client:
    """The SDK's process: it starts what it is asked to, and leaves in `directory` what became of it."""

    process: subprocess.Popen[str]
    directory: Path

    def start(self, case: str, image: str) -> None:
        assert self.process.stdin
        class_ = NOWHERE if ALL[case].class_ is None else case
        line = [session_of(case), image, class_, ALL[case].key]
        print(json.dumps(line), file=self.process.stdin, flush=True)

    def became(self, case: str) -> dict[str, Any] | None:
        """None while it is under way."""
        file = self.directory / session_of(case)
        return json.loads(file.read_text()) if file.exists() else None


@contextmanager
def client(site: Site, sdk: Path, directory: Path) -> Generator[Client]:
    command = [str(sdk), "-m", "long.sdk_starts", site.url, str(directory)]
    environment = site.sdk_environment()
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True
        )
    try:
        yield Client(process, directory)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def session_of(case: str) -> str:
    return f"troubled-{case}"


def image_of(start: Start, registry: Registry, images: Images) -> str:
    if not start.image:
        return images.agent_server
    return start.image if "/" in start.image else registry.reference(start.image)


@pytest.fixture(scope="module")
def told(
    site: Site, images: Images, sdk: Path, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Told]:
    state = State.from_environment()
    archive = build(ImageName.AGENT_SERVER, progress=progress).archive
    assert archive
    told = {case: Told() for case in ALL}
    with (
        serving(archive, state.namespace) as registry,
        troubled(site, state) as mend,
        client(site, sdk, tmp_path_factory.mktemp("starts")) as starts,
        ThreadPoolExecutor(len(told)) as looks,
    ):

        def look() -> list[str]:
            """Whom the SDK is still starting."""
            # The gateway holds an answer back until there is something new to tell, or for some seconds.
            for done in [looks.submit(one.look, site, case) for case, one in told.items()]:
                done.result()
            time.sleep(1)
            return [case for case in told if not starts.became(case)]

        for case, start in FINAL.items():
            starts.start(case, image_of(start, registry, images))
        eventually(look, lambda left: not {*FINAL} & {*left}, 120)
        for case, start in PASSING.items():
            starts.start(case, image_of(start, registry, images))
        # Pods that need their network to come as far as their trouble have it by then.
        first = ("registry", "config-map")
        eventually(
            look,
            lambda left: all(case not in left or not told[case].missing(words_of(case)[:1]) for case in first),
            60,
        )
        assert {*PASSING} <= {*look()}
        with without_network(state):
            starts.start(NETWORK, images.agent_server)
            mended_at = time.monotonic() + LASTS
            while time.monotonic() < mended_at:
                look()
            assert {*STARTS} <= {*look()}
            assert registry.met_all
        registry.mended = True
        mend()
        eventually(look, lambda left: not left, 240)
        for case, one in told.items():
            became = starts.became(case)
            assert became
            one.said, one.seconds = became["told"], became["seconds"]
            progress.say(f"  {one.seconds:6.1f} s: {case}: {one.said[:100]!r}")
    return told


def words_of(case: str) -> tuple[str, ...]:
    return ALL[case].words


@pytest.mark.parametrize("case", STARTS)
def test_a_trouble_that_passes_ends_well(told: dict[str, Told], case: str) -> None:
    one = told[case]
    assert one.missing(words_of(case)) == []
    assert {seen["pod_status"] for seen in one.answers} <= {"pending", "ready"}
    assert {seen["status"] for seen in one.answers} <= {"starting", "running"}
    assert one.said == "mended"
    assert one.seconds > LASTS


@pytest.mark.parametrize("case", FINAL)
def test_a_trouble_that_does_not_pass_is_named(told: dict[str, Told], case: str) -> None:
    said = told[case].said
    assert told[case].seconds < NAMED_WITHIN
    assert "Runtime failed (status: failed)" in said or said.startswith("HTTPStatusError: Client error")
    for word in words_of(case):
        assert word in said
