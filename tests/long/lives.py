"""Sandboxes that come and go meanwhile: cold and warm starts, and suspensions for idleness."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from cluster.runtime import READY_SECONDS, Runtime, identity
from cluster.sdk_uses import COMMAND
from cluster.site import Site
from cluster.support import eventually

POOL = "sdk"
IDLE_SECONDS = 20
_SUSPENDED_WITHIN = 240
"""Its boot, the time above, and two checks after each change of the gateways; on a busy machine."""


def claiming(site: Site, image: str) -> Runtime:
    """A sandbox that fits the pool, which is filled."""

    def reason() -> str:
        status = site.kubectl("get", "ohsp", POOL, "--output", "json").get("status", {})
        return next((one["reason"] for one in status.get("conditions", []) if one["type"] == "Ready"), "")

    eventually(reason, lambda seen: seen == "Filled", READY_SECONDS)
    return Runtime(site, image, command=COMMAND, working_dir="/")


class Lives:
    """What has been done so far, as `cold`, `warm` and `idle`."""

    def __init__(self, site: Site, image: str) -> None:
        self.counts: Counter[str] = Counter()
        self._site = site
        self._image = image

    def go_on(self, during: Callable[[], None]) -> None:
        """Sandboxes live during this. Afterwards each life is finished, and one more claims a warm pod.

        Whatever fails in a life is raised then.
        """
        stop = Event()

        def repeat(live: Callable[[], None]) -> None:
            live()
            while not stop.is_set():
                live()

        with ThreadPoolExecutor(2) as threads:
            lives = [threads.submit(repeat, live) for live in (self._starts, self._idles)]
            try:
                during()
            finally:
                stop.set()
            for life in lives:
                life.result()
        assert self._claim() == "Warm"

    def _starts(self) -> None:
        with Runtime(self._site, self._image, environment={"COLD": "yes"}) as cold:
            assert self._works(cold) == "Cold"
        self.counts["cold"] += 1
        # An upgrade may have begun to replace the warm pod.
        self.counts["warm"] += self._claim() == "Warm"

    def _claim(self) -> str:
        """How a sandbox has started that a filled pool has a pod for."""
        with claiming(self._site, self._image) as claimed:
            return self._works(claimed)

    def _works(self, runtime: Runtime) -> str:
        """Run a command in it; gives how it was launched."""
        runtime.await_ready()
        assert runtime.run("echo well") == "well\n"
        assert identity(runtime.look()) == runtime.identity
        return runtime.object()["status"]["launch"]

    def _idles(self) -> None:
        environment = {"IDLE": "yes"}
        with Runtime(self._site, self._image, environment=environment, idle_timeout_seconds=IDLE_SECONDS) as idle:
            self._works(idle)
            eventually(lambda: idle.condition()["reason"], lambda reason: reason == "Idle", _SUSPENDED_WITHIN)
            # What waits for too long is answered with 503, and is to be repeated.
            eventually(lambda: idle.agent.get("/api/conversations/count").status_code, lambda code: code == 200)
            assert idle.run("echo awake") == "awake\n"
            assert identity(idle.look()) == idle.identity
        self.counts["idle"] += 1
