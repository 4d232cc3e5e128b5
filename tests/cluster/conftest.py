"""A real node with the chart installed, shared by all tests of this tier.

A cluster that is up already is used and left as it is; one that this run brought up is taken down at the end, and
then nothing of it may be left on the machine. Runs side by side need namespaces of their own: CLUSTER_TESTS_NAMESPACE.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from cluster.browser import browser
from cluster.lanes import RECORDED, SECOND_DONE, SECOND_GONE, Lanes, Lanewise
from cluster.observing import beside
from cluster.recording import Record
from cluster.site import Site, installed
from cluster.support import NAMESPACE, NAMESPACES, Kubectl
from demo.local_target import LocalTarget
from demo.outside import sdk_python
from demo.release import NAME, Release, apply_custom_resources
from demo.targets import Images
from local_cluster.cluster import Cluster
from local_cluster.dns import SANDBOX_DOMAIN, Wildcard
from local_cluster.images import PAUSE
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.progress import Progress
from local_cluster.remains import leftovers
from sandbox_crds.api import SANDBOX_LABEL

_LAST = ("", "test_restart.py", "test_last.py")
"""Files of tests that come after all others, in this order."""
_DESELECTED = pytest.StashKey[int]()
_LANES = pytest.StashKey[Lanes]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs no cluster comes first in its lane, then what goes beside the other one."""

    def turn(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.name
        return _LAST.index(name) if name in _LAST else 0, item.path.parent.name != "local_cluster"

    items.sort(key=turn)
    _lanes(config).collected(item.path for item in items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How xdist deals the tests out."""
    return Lanewise(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before whatever the test uses is set up."""
    _lanes(item.config).turn_to(item.path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test, and before what it used is taken away."""
    if nextitem is None:
        _lanes(item.config).arrive(item.session.testsfailed)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After all has been taken away."""
    if _LANES in session.config.stash:
        session.config.stash[_LANES].leave()


def _lanes(config: pytest.Config) -> Lanes:
    if _LANES not in config.stash:
        # Of all processes of this run; each has its own below.
        directory = config.getoption("basetemp")
        config.stash[_LANES] = Lanes(Path(directory).parent if directory else Path())
    return config.stash[_LANES]


@pytest.fixture(scope="session")
def lanes(pytestconfig: pytest.Config) -> Lanes:
    return _lanes(pytestconfig)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Keep in mind that not all tests run."""
    for item in items[:1]:
        item.config.stash[_DESELECTED] = item.config.stash.get(_DESELECTED, 0) + len(items)


@pytest.fixture
def alone(lanes: Lanes) -> None:
    """From now on nothing runs in the other lane. What it has installed is still there."""
    lanes.hear(SECOND_DONE)


@pytest.fixture
def missing_evidence(request: pytest.FixtureRequest, lanes: Lanes) -> str:
    """Why this run says little about what the tier does not do; empty if every test of it ran, and well."""
    config, session = request.config, request.session
    failed_there = int(lanes.hear(SECOND_DONE) or 0)
    here = Path(__file__).parent
    files = set(here.rglob("test_*.py")) - {item.path for item in session.items}
    reasons = {
        "tests were deselected": config.stash.get(_DESELECTED, 0),
        "single tests were named": any("::" in argument for argument in config.args),
        f"{len(files)} files of tests did not run": files,
        f"{session.testsfailed + failed_there} tests failed": session.testsfailed + failed_there,
    }
    return ", ".join(reason for reason, holds in reasons.items() if holds)


@pytest.fixture(scope="session")
def progress() -> Progress:
    return Progress(sys.__stderr__)


@pytest.fixture(scope="session")
def target(progress: Progress, lanes: Lanes) -> Iterator[LocalTarget]:
    state = State.from_environment()
    if lanes.second:
        lanes.hear(RECORDED)
    found = bool(leftovers(state))
    target = LocalTarget(egress=False)
    target.up(progress)
    yield target
    if lanes.second:
        return
    lanes.hear(SECOND_GONE)
    if found:
        namespaces = target.kubectl("get", "namespaces", "--output=name").split()
        ending = [name for name in namespaces if name.startswith(f"namespace/{NAMESPACES}")]
        if ending:
            target.kubectl("wait", "--for=delete", "--timeout=300s", *ending)
    else:
        target.down(progress)
        assert leftovers(state) == []


@pytest.fixture(scope="session")
def record(target: LocalTarget) -> Iterator[Record]:
    """What the run leaves in the cluster for all to read, from before the first release on."""
    state = State.from_environment()
    # What does not exist cannot be followed.
    apply_custom_resources(target)
    target.kubectl("wait", "--for=condition=Established", "--timeout=30s", "customresourcedefinitions", "--all")
    with beside(state.kubeconfig, lambda client: Record.following(client, state, NAMESPACES)) as record:
        yield record


@pytest.fixture(scope="session")
def images(target: LocalTarget, lanes: Lanes, progress: Progress, request: pytest.FixtureRequest) -> Images:
    if not lanes.second:
        request.getfixturevalue("record")
        lanes.say(RECORDED)
    built = target.build_images(progress)
    target.load_images(built)
    return built


@pytest.fixture(scope="session")
def site(target: LocalTarget, images: Images, progress: Progress) -> Iterator[Site]:
    # Lists of images need both.
    operator = {"readNodes": True, "pauseImage": PAUSE.reference}
    with installed(target, images, progress, NAMESPACE, operator=operator) as site:
        yield site


@pytest.fixture(scope="session")
def persistent(target: LocalTarget, images: Images, progress: Progress) -> Iterator[Site]:
    """A second release, whose gateway gives each sandbox a volume."""
    with installed(target, images, progress, f"{NAMESPACE}-persistent", sandboxClass="persistent") as site:
        yield site


@pytest.fixture(scope="session")
def host_mode(target: LocalTarget, images: Images, progress: Progress, lanes: Lanes) -> Iterator[Site]:
    """A release in host mode, whose domain the cluster's DNS leads to its gateway."""
    assert lanes.second or not lanes.are_two, "the domain leads to one release: name this file in lanes.SECOND"
    namespace = f"{NAMESPACE}-host-mode"
    # All requests are logged: here keys travel in cookies and queries, too.
    with installed(
        target,
        images,
        progress,
        namespace,
        discards=True,
        replicas=1,
        baseDomain=SANDBOX_DOMAIN,
        accessLog="all",
    ) as site:
        service = site.kubectl("get", "service", f"{NAME}-gateway", "--output", "json")
        Cluster(State.from_environment()).set_dns(Wildcard(SANDBOX_DOMAIN, service["spec"]["clusterIP"]))
        yield site


@pytest.fixture(scope="session")
def release(site: Site) -> Release:
    return site.release


@pytest.fixture(scope="session")
def gateway_url(site: Site) -> str:
    """The gateway's address outside of the node's network namespace."""
    return site.url


@pytest.fixture(scope="session")
def gateway(site: Site) -> httpx.Client:
    """A client of the Runtime API, outside of the cluster."""
    return site.gateway


@pytest.fixture(scope="session")
def sdk(progress: Progress) -> Path:
    """Python of an environment with the unmodified SDK."""
    return sdk_python(progress)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[BrowserContext]:
    """An empty profile of a browser outside of the cluster, which reaches the hosts of sandboxes."""
    with browser(tmp_path_factory.mktemp("chromium"), SANDBOX_DOMAIN, NODE_ADDRESS, progress) as running:
        yield running


@pytest.fixture(scope="session")
def kubectl(site: Site) -> Kubectl:
    """Runs kubectl in the release's namespace; with `--output json` gives the parsed answer."""
    return site.kubectl


@pytest.fixture
def belongings(kubectl: Kubectl) -> Callable[[str], list[str]]:
    """Everything in the cluster that belongs to the sandbox of this name, the Sandbox itself too."""

    def list_all(name: str) -> list[str]:
        kinds = "pods,secrets,services,persistentvolumeclaims"
        found = kubectl("get", kinds, "--selector", f"{SANDBOX_LABEL}={name}", "--output", "name").split()
        return found + kubectl("get", "ohsb", name, "--ignore-not-found", "--output", "name").split()

    return list_all
