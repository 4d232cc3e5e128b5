"""Everything but the containers, for real: API server, operator, two gateway replicas; and what may happen to them."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, Self

from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.operator.world import World
from control_plane.pulse import Pulse
from control_plane.races.gateways import OWNER, REPLICAS, Answer, Gateways
from control_plane.races.history import GONE, UNKNOWN, Alive, Call, Kind, State, Told
from control_plane.races.lag import lagging
from control_plane.races.node import Node
from control_plane.races.operators import Operators
from control_plane.races.reading import is_failed, is_ready, outcome_of, words
from control_plane.races.session import Proof, Session
from control_plane.races.storm import Storm
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_operator.reporting.suspension import suspension_patch

HOLD_SECONDS = 0.3
_NOBODY = -1
"""In place of a replica."""


class Arena:
    """One namespace, its processes and its sessions."""

    def __init__(
        self,
        world: World,
        keys: MasterKeys,
        node: Node,
        gateways: Gateways,
        operators: Operators,
        pulse: Pulse,
        storm: Storm | None,
    ) -> None:
        self.world = world
        self.node = node
        self.gateways = gateways
        self.operators = operators
        self.loop = asyncio.get_running_loop()
        """Where all of it runs; time passes for the node only while it does."""
        self._storm = storm
        self._pulse = pulse
        self._keys = keys
        self._uids: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, control_plane: ControlPlane, master_key_dir: Path, directory: Path, storm: Storm | None = None
    ) -> AsyncGenerator[Self]:
        """Everything runs; the news of each process lags, or it is in the storm.

        `directory` takes the operator's log and kubeconfigs.
        """
        link = storm.over if storm else lagging
        keys = MasterKeys.load(master_key_dir)
        async with connected(control_plane) as client, fresh_namespace(client) as namespace:
            world = World(client, namespace, "arena")
            await world.add_class(workspace={"persistent": True, "size": "1Gi"})
            await add_api_key(client, namespace, API_KEY, OWNER)
            arguments = (
                f"--namespace={namespace}",
                f"--master-key-dir={master_key_dir}",
                f"--start-hold-seconds={HOLD_SECONDS}",
                f"--poll-hold-seconds={HOLD_SECONDS}",
            )
            async with AsyncExitStack() as stack:
                links = [link(control_plane, directory) for _ in range(1 + REPLICAS)]
                own, *others = [await stack.enter_async_context(link) for link in links]
                operators = Operators(own, namespace, master_key_dir, directory / "operator.log")
                await stack.enter_async_context(operators.running())
                gateways = await stack.enter_async_context(Gateways.running(others, *arguments))
                node = await stack.enter_async_context(Node(client, namespace, keys).running())
                # The links are in this loop: what keeps it busy delays the answers of the API server, too.
                pulse = Pulse()
                await stack.enter_async_context(pulse.beating(control_plane))
                arena = cls(world, keys, node, gateways, operators, pulse, storm)
                await stack.enter_async_context(arena._following(client, namespace))
                yield arena

    @asynccontextmanager
    async def _following(self, client: KubeClient, namespace: str) -> AsyncGenerator[None]:
        informer = Informer(client, SANDBOXES, namespace, lambda item: item, on_change=self._on_change)
        task = asyncio.create_task(informer.run())
        await informer.wait_synced()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _on_change(self, name: str, item: KubeObject | None) -> None:
        if session := self._sessions.get(name):
            session.enter(self._state(item))

    def _state(self, item: KubeObject | None) -> State:
        if item is None or "deletionTimestamp" in item["metadata"]:
            return GONE
        uid, spec = item["metadata"]["uid"], item["spec"]
        key = self._keys.session_key(self._keys.key_id(uid))
        self._uids[key] = uid
        return Alive(key, spec["suspendReason"] if spec["suspend"] else "")

    def begin(self, seed: int) -> None:
        """Another example: delays, and the storm if there is one, are drawn from this seed."""
        self.node.seed(seed)
        if self._storm:
            self._storm.rise(seed)

    def calm(self) -> None:
        """No new faults from now on."""
        if self._storm:
            self._storm.lull()

    async def look(self, session: Session) -> State:
        """The state that its Sandbox is in now."""
        try:
            return self._state(await self.world.client.get(SANDBOXES, self.world.namespace, session.name))
        except ApiError as error:
            if error.code != 404:
                raise
            return GONE

    def uid(self, state: Alive) -> str:
        """UID of the Sandbox that is in this state."""
        return self._uids[state.key]

    def session(self) -> Session:
        """A new session."""
        session = Session(f"session {next(self._numbers)}")
        self._sessions[session.name] = session
        return session

    async def call(self, session: Session, kind: Kind, replica: int, *, key: str = "", **fields: Any) -> Call:
        """Send one request and note what comes of it. A sandbox that is told to be ready is visited at once.

        A visit needs a session key. `fields` are further ones of a /start.
        """
        sent = _time()
        session.tell(f"{kind} {fields or ''} is sent to {replica}")
        answer = await self._send(session, kind, replica, key, fields)
        call = self._note(session, kind, sent, answer, key)
        if fields.get("environment") and isinstance(call.outcome, Told):
            session.with_environment.add(call.outcome.key)
        if is_ready(answer) and isinstance(call.outcome, Told):
            proof = await self.call(session, "visit", replica, key=call.outcome.key)
            good = proof.outcome == call.outcome or proof.answered == inf
            session.proofs.append(Proof(call.replica, _time(), good))
        return call

    async def _send(
        self, session: Session, kind: Kind, replica: int, key: str, fields: dict[str, Any]
    ) -> Answer | None:
        match kind:
            case "look":
                return await self.gateways.call(replica, "GET", f"/sessions/{session.id}")
            case "list":
                return await self.gateways.call(replica, "GET", "/list")
            case "visit":
                return await self.gateways.visit(replica, "/api/key", key)
            case "start":
                fields = {"image": "agent:1", "command": self.node.command, "session_id": session.id, **fields}
            case _:
                fields = {"runtime_id": session.name}
        return await self.gateways.call(replica, "POST", f"/{kind}", **fields)

    def _note(self, session: Session, kind: Kind, sent: float, answer: Answer | None, key: str) -> Call:
        session.tell(f"{kind}, sent at {sent:.3f}, is answered: {words(answer)}")
        ended = answer is not None and self.gateways.is_ended(answer.replica)
        may_refuse = ended or self._storm is not None or self._pulse.stalled(sent)
        try:
            outcome = outcome_of(session.name, kind, answer, may_refuse=may_refuse)
        except AssertionError as error:
            raise AssertionError(f"not an answer to {kind}: {error}\n{session.story}") from error
        replica, answered = (answer.replica, _time()) if answer else (_NOBODY, inf)
        if is_failed(answer):
            session.reported_failed.append(answered)
        call = Call(kind, replica, sent, answered, outcome, key)
        session.calls.append(call)
        return call

    async def lose_pod(self, session: Session) -> None:
        """Take the pod away, as a person or a node that is shut down may do."""
        if session.now is GONE:
            return
        for pod in self.node.pods(self.uid(session.now)):
            session.lose("its pod is taken away")
            await self.world.client.delete(PODS, self.world.namespace, pod["metadata"]["name"], grace_seconds=0)

    async def crash(self, session: Session) -> None:
        """Let its agent server end again and again, until it is told to have failed."""
        assert session.now is not GONE
        session.fail("its agent server crashes")
        [pod] = self.node.pods(self.uid(session.now))
        await self.node.crash(pod)
        await self.world.until(Reason.CRASH_LOOP_BACK_OFF, session.name)

    async def suspend_idle(self, session: Session) -> None:
        """Suspend it as the operator does when it has been idle for too long, unless somebody is faster."""
        if session.now is GONE or session.now.suspension:
            return
        sent = _time()
        session.tell("it is to be suspended for idleness")
        try:
            sandbox = await self.world.sandbox(session.name)
            if sandbox.spec.suspend:
                return
            stored = await self._patch(session, suspension_patch(sandbox, "Idle", "It was idle."))
        except ApiError as error:
            if error.code not in {404, 409}:
                raise
            return
        state = self._state(stored)
        assert isinstance(state, Alive)
        session.calls.append(Call("idle", _NOBODY, sent, _time(), Told(state.key, paused=True)))

    async def end_life(self, session: Session) -> None:
        """Let its time be over: from now on the operator may delete it, and must in the end."""
        sent = _time()
        if changed := await self._change(session, "its time is over", {"maximumLifeSeconds": 1}):
            session.mortal.add(changed.key)
            session.calls.append(Call("expire", _NOBODY, sent, inf, UNKNOWN, changed.key))

    async def restart_pod(self, session: Session) -> None:
        """Ask the operator for a new pod."""
        now = rfc3339(datetime.now(UTC))
        if changed := await self._change(session, "its pod is to be replaced", {"restartedAt": now}):
            session.restarts[changed.key] = now

    async def _change(self, session: Session, what: str, spec: dict[str, Any]) -> Alive | None:
        """Change the spec of whatever Sandbox there is; which one that was, None for none."""
        session.lose(what)
        try:
            state = self._state(await self._patch(session, {"spec": spec}))
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        assert isinstance(state, Alive)
        return state

    async def _patch(self, session: Session, body: dict[str, Any]) -> KubeObject:
        return await self.world.client.patch(SANDBOXES, self.world.namespace, session.name, body)


def _time() -> float:
    return asyncio.get_running_loop().time()
