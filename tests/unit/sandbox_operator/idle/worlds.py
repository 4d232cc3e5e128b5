"""Random worlds: many short histories that come close to each limit from both sides."""

from collections.abc import Callable
from random import Random

from unit.sandbox_operator.idle.simulation import Simulation
from unit.sandbox_operator.idle.timelines import Plan, Replacement, Tally, ViolationError, World

PLANS = 40
"""Sandboxes in one world, each with a timeline of its own."""


def random_world(seed: int) -> World:
    """The world of this seed."""
    dice = Random(seed)
    plans = [_plan(dice) for _ in range(PLANS)]
    busy_until = 220.0
    replicas = [
        dice.uniform(0, 1500) if dice.random() < 0.2 else dice.uniform(1500, 9000) for _ in range(dice.randint(1, 3))
    ]
    replacements = [
        Replacement(
            dice.uniform(1, busy_until),
            dice.randrange(3),
            dice.random() < 0.5,
            dice.random() < 0.5,
            dice.choice([0.5, 3.0, 20.0, 60.0]),
            dice.choice([0.0, 25.0]),
        )
        for _ in range(dice.choice([0, 0, 1, 1, 2, 3]))
    ]
    silences: list[tuple[float, float, int]] = []
    if dice.random() < 0.2:
        start = dice.uniform(0, busy_until)
        silences.append((start, start + dice.choice([1.0, 20.0, 60.0]), dice.randrange(3)))
    absences: list[tuple[float, float]] = []
    if dice.random() < 0.3:
        start = dice.uniform(1, busy_until)
        absences.append((start, start + dice.choice([0.5, 5.0, 40.0])))
    node_moves: list[tuple[float, float]] = []
    if dice.random() < 0.25:
        sign = dice.choice([-1, 1])
        node_moves = _moves(dice, busy_until, lambda: sign)
    operator_moves: list[tuple[float, float]] = []
    if dice.random() < 0.25:
        operator_moves = _moves(dice, busy_until, lambda: dice.choice([-1, 1]))
    return World(
        plans,
        replicas,
        replacements,
        silences,
        absences,
        node_moves,
        operator_moves,
        phase=dice.uniform(0, 14),
        latency=dice.choice([0.0, 0.0, 0.3]),
        end=busy_until + max(plan.timeout for plan in plans) + 80,
    )


def _moves(dice: Random, until: float, sign: Callable[[], int]) -> list[tuple[float, float]]:
    times = sorted(dice.uniform(0.1, until) for _ in range(dice.choice([1, 1, 2])))
    return [(at, sign() * dice.choice([5.0, 40.0, 3600.0]) * dice.uniform(1, 2)) for at in times]


def _plan(dice: Random) -> Plan:
    timeout = dice.choice([15, 30, 45, 60, 90])
    boot = dice.uniform(1, 20)
    started_at = dice.uniform(-500, -20) if dice.random() < 0.6 else dice.uniform(0, 60)
    now = max(started_at + 2, 0.0)
    requests: list[tuple[float, float, int]] = []
    handshakes: list[tuple[float, int]] = []
    conversations: list[tuple[float, float, list[float]]] = []
    commands: list[float] = []
    for _ in range(dice.choice([0, 1, 2, 3, 5])):
        # Just before and just after the limit are the interesting gaps.
        now += timeout * dice.choice([dice.random(), dice.uniform(0.8, 1.0), dice.uniform(1.0, 1.4)])
        if now > 200:
            break
        long = now + dice.choice([0.05, 1.0, dice.uniform(0, 2) * timeout])
        match dice.randrange(5):
            case 0:
                requests.append((now, long, dice.randrange(6)))
            case 1:
                handshakes.append((now, dice.randrange(6)))
            case 2:
                commands.append(now)
            case 3:
                # A silent model call: one event at its end, or none.
                conversations.append((now, long, [long] if dice.random() < 0.8 else []))
                if dice.random() < 0.5:
                    requests.append((now, now + 0.1, dice.randrange(6)))
            case _:
                # A poll every few seconds, while something is waited for.
                at = now
                while at < long:
                    requests.append((at, at + 0.02, dice.randrange(6)))
                    at += 10.0
        now = long
    restarts = [dice.uniform(max(started_at + 5, 0), 200)] if dice.random() < 0.05 else []
    deaf = (float("inf"), float("inf"))
    if dice.random() < 0.05:
        deaf_from = dice.uniform(0, 200)
        deaf = deaf_from, deaf_from + dice.uniform(0, 60)
    return Plan(timeout, boot, started_at, requests, handshakes, conversations, commands, restarts, deaf)


def run_random_worlds(first: int, count: int) -> Tally:
    """Simulate the worlds of these seeds. Raises ViolationError, which names the seed."""
    tally = Tally()
    for seed in range(first, first + count):
        try:
            Simulation(random_world(seed), tally).run()
        except ViolationError as error:
            raise ViolationError(f"random_world({seed}): {error}") from None
    return tally
