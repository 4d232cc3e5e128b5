"""A month of sandboxes whose operator is killed now and then, against sums that know nothing of the operator."""

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from random import Random

import sampling
from sandbox_common.usage import DAY, fields
from sandbox_crds.names import usage_name
from sandbox_operator.usage.ledger import PERIOD, SETTLED
from unit.sandbox_operator.usage.stage import BEGIN, CPU, MEMORY, STORAGE, Stage, ready, suspended, text

LIVES, KILLS, FEWER = sampling.count(800, 2000), sampling.count(20, 50), 400
MONTH = 30 * DAY
OWNERS = [f"owner {number}" for number in range(8)]
OTHER = {"cpu_millicore_seconds": CPU, "memory_mebibyte_seconds": MEMORY}


class Truth:
    """What was used, by field, and by owner; added up from the beginnings and ends of all uses."""

    def __init__(self) -> None:
        self.sums: dict[str, Counter[str]] = {owner: Counter() for owner in OWNERS}
        self.by_day: Counter[str] = Counter()
        self.busy: dict[str, list[tuple[int, int]]] = {owner: [] for owner in OWNERS}

    def used(self, owner: str, field: str, begin: float, end: float) -> None:
        seconds = int(end) - int(begin)
        self.busy[owner].append((int(begin), int(end)))
        self.sums[owner][field] += seconds * (STORAGE if field == "storage_mebibyte_seconds" else 1)
        if field == "running_seconds":
            for name, each in OTHER.items():
                self.sums[owner][name] += each * seconds
            time = datetime.fromtimestamp(int(begin), UTC)
            while time < datetime.fromtimestamp(int(end), UTC):
                midnight = (time + timedelta(days=1)).replace(hour=0, minute=0, second=0)
                until = min(midnight, datetime.fromtimestamp(int(end), UTC))
                self.by_day[time.date().isoformat()] += int((until - time).total_seconds())
                time = until

    def started(self, owner: str, field: str) -> None:
        self.sums[owner][field] += 1


class Month:
    """All that happens, by time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.stage = Stage()
        self.truth = Truth()
        self._happens: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._happens, (time, next(self._numbers), do))

    def plan_life(self, name: str) -> None:
        stage, truth, chance = self.stage, self.truth, self.random
        owner = chance.choice(OWNERS)
        created = time = BEGIN + chance.random() * MONTH
        self.at(created, lambda: stage.put(name, owner, created))
        first = begun = ended = 0.0
        for number in range(chance.choice([1, 1, 1, 2, 4])):
            pod = f"pod-{number}"
            launch = "Resume" if number else chance.choice(["Cold", "Warm"])
            bound = time + chance.expovariate(1 / 3)
            is_ready = bound + 1 + chance.expovariate(1 / 20)
            first, begun = first or is_ready, begun or bound
            if number:
                # The status says no longer that it is suspended.
                truth.used(owner, "suspended_seconds", ended, bound)
            self.bind(name, owner, created, bound, pod, launch)
            self.report(name, owner, created, is_ready, first, launch, pod)
            truth.started(owner, {"Cold": "cold_starts", "Warm": "warm_starts", "Resume": "resumes"}[launch])
            asked = is_ready + chance.expovariate(1 / chance.choice([20, 300, 3600]))
            truth.used(owner, "running_seconds", bound, asked)
            ended = asked + 1 + chance.expovariate(1 / 3)
            time = ended + chance.expovariate(1 / 20000)
            self.suspend(name, owner, created, asked, ended, pod)
        last = ended + chance.choice([0, chance.expovariate(1 / 40000)])
        self.at(last, lambda: stage.delete(name))
        truth.used(owner, "suspended_seconds", ended, last)
        truth.used(owner, "storage_mebibyte_seconds", begun, last)

    def bind(self, name: str, owner: str, created: float, bound: float, pod: str, launch: str) -> None:
        stage = self.stage

        def do() -> None:
            # The status names the launch within the second.
            stage.put(
                name, owner, created, workspaceKept=True, launch=launch, startTime=text(bound), **_first(stage, name)
            )
            if launch == "Warm":
                claimed = datetime.fromtimestamp(int(bound), UTC)
                stage.bind(name, pod, created=bound - 5000, pool="pool", claimed=claimed)
            else:
                stage.bind(name, pod)

        self.at(bound, do)

    def report(self, name: str, owner: str, created: float, at: float, first: float, launch: str, pod: str) -> None:
        status = ready(at, first, launch, f"{pod} of {name}")
        self.at(at, lambda: self.stage.put(name, owner, created, **status))

    def suspend(self, name: str, owner: str, created: float, asked: float, ended: float, pod: str) -> None:
        stage = self.stage
        self.at(asked, lambda: stage.end(name, pod))
        status = {**suspended(ended), **{"firstReadyTime": ""}}

        def do() -> None:
            stage.gone(name, pod)
            stage.put(name, owner, created, **{**status, **_first(stage, name)})

        self.at(ended, do)

    async def run(self, kills: int) -> None:
        stage, times = self.stage, sorted(self.random.uniform(BEGIN, BEGIN + MONTH) for _ in range(kills))
        await stage.recorder.begin()
        for kill in times:
            await self._pass(kill)
            stage.leads()
            await self._pass(max(stage.now, kill + self.random.uniform(1, 60)))
            await stage.recorder.begin()
        while self._happens:
            await self._pass(self._happens[0][0])
        await stage.until(stage.now + PERIOD + 10)

    async def _pass(self, time: float) -> None:
        while self._happens and self._happens[0][0] <= time:
            at, _, do = heapq.heappop(self._happens)
            await self.stage.until(at)
            do()
        await self.stage.until(time)


def _first(stage: Stage, name: str) -> dict[str, str]:
    sandbox = stage.sandboxes.get(name)
    return {"firstReadyTime": sandbox.status.first_ready_time if sandbox else ""}


def planned(lives: int) -> Month:
    month = Month(seed=21)
    for number in range(lives):
        month.plan_life(f"sandbox-{number}")
    return month


async def test_it_is_right_to_the_second_without_a_kill() -> None:
    month = planned(FEWER)
    await month.run(0)
    by_day: Counter[str] = Counter()
    for owner, expected in month.truth.sums.items():
        assert +Counter(fields(month.stage.total(owner))) == +expected
        record = month.stage.record(owner)
        assert record
        for day, rows in record.status.days.items():
            by_day[day] += rows["default"].running_seconds
    assert +by_day == +month.truth.by_day


async def test_with_kills_it_is_right_to_one_per_cent_and_writes_seldom() -> None:
    month = planned(LIVES)
    await month.run(KILLS)
    stage, truth = month.stage, month.truth
    expected = sum(truth.sums.values(), Counter[str]())
    found = sum((Counter(fields(stage.total(owner))) for owner in OWNERS), Counter[str]())
    errors = {name: found[name] / expected[name] - 1 for name in expected}
    assert all(-0.01 <= error <= 0.0001 for error in errors.values()), errors
    for owner in OWNERS:
        times = [time for time, name in stage.server.writes if name == usage_name(owner)]
        for earlier, later in pairwise(times):
            assert later - earlier >= PERIOD
            used = [begin for begin, end in truth.busy[owner] if begin <= later and end >= earlier - SETTLED]
            assert used, f"nothing was used between {earlier} and {later}"
