"""How a session must be in the end, when nobody asks for anything any more."""

import asyncio
from typing import Any

from control_plane.races.arena import Arena
from control_plane.races.gateways import REPLICAS
from control_plane.races.history import GONE, NOT_LIVE, UNKNOWN, Alive, Outcome, State, Told
from control_plane.races.session import Session
from sandbox_common.kube import ApiError
from sandbox_common.kube.resources import PODS, SECRETS, VOLUME_CLAIMS, Resource
from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import environment_secret_name
from sandbox_operator.reporting.conditions import READY

_SECONDS = 120.0
"""A process that is started anew may have a tenth of a CPU, and needs seconds of one."""
_PAUSE = 0.2


async def settle(arena: Arena, *sessions: Session) -> None:
    """Wait until each session is as its Sandbox wants it, and everybody says so; then check all that has been told.

    All calls must have been answered or lost.
    """
    await asyncio.gather(*(_settle(arena, session) for session in sessions))
    assert arena.node.most_at_once <= 1, "a Sandbox had several pods at once"


async def _settle(arena: Arena, session: Session) -> None:
    deadline = asyncio.get_running_loop().time() + _SECONDS
    while complaints := await _complaints(arena, session):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("\n".join(["not settled:", *complaints, session.story]))
        await asyncio.sleep(_PAUSE)
    session.judge()


async def _complaints(arena: Arena, session: Session) -> list[str]:
    """What is not yet as it must be."""
    try:
        return await _compared(arena, session, session.now)
    except ApiError as error:
        if error.code != 404:
            raise
        return ["its Sandbox has gone this moment"]


async def _compared(arena: Arena, session: Session, state: State) -> list[str]:
    if state != await arena.look(session):
        return ["the test's own watch lags"]
    complaints = await _about_objects(arena, session, state)
    if state is not GONE and await _lacks_environment(arena, session):
        # Who promised it may have ended before it was made: then it is made when the client asks again.
        return ["its environment is missing"] if state.key in session.with_environment else complaints
    if state is not GONE and not complaints:
        complaints = await _about_sandbox(arena, session, state)
    if not complaints:
        for replica in range(REPLICAS):
            complaints += await _about_answers(arena, session, state, replica)
    return complaints


async def _about_objects(arena: Arena, session: Session, state: State) -> list[str]:
    """All that belongs to the session's Sandboxes belongs to the present one, of which a pod only if it runs."""
    uid = None if state is GONE else arena.uid(state)
    complaints: list[str] = []
    for resource in (PODS, SECRETS, VOLUME_CLAIMS):
        for item in await _belongings(arena, session, resource):
            [owner] = item["ownerReferences"]
            if owner["uid"] != uid or (resource is PODS and state is not GONE and state.suspension):
                complaints.append(f"{resource.kind} {item['name']} is left over")
    return complaints


async def _belongings(arena: Arena, session: Session, resource: Resource) -> list[dict[str, Any]]:
    """Metadata of what belongs to Sandboxes of this name."""
    world, selector = arena.world, f"{SANDBOX_LABEL}={session.name}"
    items = (await world.client.list(resource, world.namespace, labelSelector=selector))["items"]
    return [item["metadata"] for item in items]


async def _lacks_environment(arena: Arena, session: Session) -> bool:
    """Whether its pod waits for the Secret with its environment."""
    sandbox = await arena.world.sandbox(session.name)
    if not sandbox.spec.environment_hash:
        return False
    name = environment_secret_name(session.name, sandbox.metadata.uid, sandbox.spec.environment_revision)
    return name not in [item["name"] for item in await _belongings(arena, session, SECRETS)]


async def _about_sandbox(arena: Arena, session: Session, state: Alive) -> list[str]:
    """Pod and status are as the spec wants them."""
    if state.key in session.mortal:
        return ["its time is over, and it is still there"]
    sandbox = await arena.world.sandbox(session.name)
    condition = sandbox.status.condition(READY)
    reason = condition.reason if condition else ""
    expected = SUSPENSIONS[state.suspension] if state.suspension else Reason.READY
    complaints = [] if reason == expected else [f"its status says {reason}"]
    if not state.suspension:
        pods = [pod["metadata"] for pod in arena.node.pods(arena.uid(state))]
        if [pod["uid"] for pod in pods] != [sandbox.status.pod_uid]:
            complaints.append(f"its status speaks of pod {sandbox.status.pod_uid}")
        if any(pod["creationTimestamp"] < session.restarts.get(state.key, "") for pod in pods):
            complaints.append("its pod has not been replaced")
    return complaints


async def _about_answers(arena: Arena, session: Session, state: State, replica: int) -> list[str]:
    """Every replica tells how it is, and gives way to it or not. An idle one is not visited: that would wake it."""
    told: Outcome = GONE if state is GONE else Told(state.key, bool(state.suspension))
    listed: Outcome = NOT_LIVE if state is GONE or state.suspension else told
    expected: list[tuple[Outcome, Outcome]] = [
        (told, (await arena.call(session, "look", replica)).outcome),
        (listed, (await arena.call(session, "list", replica)).outcome),
    ]
    for key in session.keys:
        if state is GONE or key != state.key:
            expected.append((GONE, (await arena.call(session, "visit", replica, key=key)).outcome))
        elif state.suspension != "Idle":
            visited = UNKNOWN if state.suspension else told
            expected.append((visited, (await arena.call(session, "visit", replica, key=key)).outcome))
    return [f"replica {replica} says {found}, not {wanted}" for wanted, found in expected if wanted != found]
