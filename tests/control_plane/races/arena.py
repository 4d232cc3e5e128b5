"""Everything but the containers, for real: API server, operator, two gateway replicas; and requests to them."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any, Self

from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.races.gateways import OWNER, PUBLIC_URL, Answer, Gateways
from control_plane.races.history import GONE, UNKNOWN, Alive, Call, Kind, Outcome, State
from control_plane.races.node import Node
from control_plane.races.session import Session, Visit
from local_cluster.control_plane import ControlPlane
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import Informer, KubeClient, KubeObject
from sandbox_crds.kube.resources import PODS, SANDBOXES

HOLD_SECONDS = 1
_PAIRS = {("starting", "pending"), ("running", "ready"), ("paused", "not found")}


class Operators:
    """The operator of one namespace, which may be killed."""

    def __init__(self, control_plane: ControlPlane, namespace: str, master_key_dir: Path, log: Path) -> None:
        self._arguments = (control_plane.kubeconfig, namespace, master_key_dir, log)
        self._current: OperatorProcess | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Meanwhile there is one."""
        try:
            await self.restart()
            yield
        finally:
            await self.kill()

    async def restart(self) -> None:
        """Kill it and start the next one, which fills its caches meanwhile."""
        await self.kill()
        self._current = await OperatorProcess.start(*self._arguments)

    async def kill(self) -> None:
        """End it without a word, if there is one."""
        if self._current:
            await self._current.kill()


class Arena:
    """One namespace, its processes and its sessions."""

    def __init__(self, world: World, keys: MasterKeys, node: Node, gateways: Gateways, operators: Operators) -> None:
        self.world = world
        self.node = node
        self.gateways = gateways
        self.operators = operators
        self._keys = keys
        self._uids: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}
        self._numbers = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def open(cls, control_plane: ControlPlane, master_key_dir: Path, directory: Path) -> AsyncGenerator[Self]:
        """Everything runs. `directory` takes the operator's log."""
        keys = MasterKeys.load(master_key_dir)
        async with connected(control_plane) as client, fresh_namespace(client) as namespace:
            world = World(client, namespace, "arena")
            await world.add_class(workspace={"persistent": True, "size": "1Gi"})
            await add_api_key(client, namespace, API_KEY, OWNER)
            arguments = (
                f"--kubeconfig={control_plane.kubeconfig}",
                f"--namespace={namespace}",
                f"--master-key-dir={master_key_dir}",
                f"--start-hold-seconds={HOLD_SECONDS}",
                f"--poll-hold-seconds={HOLD_SECONDS}",
            )
            operators = Operators(control_plane, namespace, master_key_dir, directory / "operator.log")
            async with (
                operators.running(),
                Gateways.running(*arguments) as gateways,
                Node(client, namespace, keys).running() as node,
            ):
                arena = cls(world, keys, node, gateways, operators)
                async with arena._following(client, namespace):
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
            session.enter(self.state(item))

    def state(self, item: KubeObject | None) -> State:
        """The state that this Sandbox is in."""
        if item is None or "deletionTimestamp" in item["metadata"]:
            return GONE
        uid = item["metadata"]["uid"]
        key = self._keys.session_key(self._keys.key_id(uid))
        self._uids[key] = uid
        return Alive(key, item["spec"]["suspend"])

    def uid(self, state: Alive) -> str:
        """UID of the Sandbox that is in this state."""
        return self._uids[state.key]

    def session(self) -> Session:
        """A new session."""
        session = Session(f"session {next(self._numbers)}")
        self._sessions[session.name] = session
        return session

    async def call(self, session: Session, kind: Kind, replica: int, **fields: Any) -> Call:
        """Send one request and note what comes of it. A sandbox that is told to be ready is visited at once."""
        clock = asyncio.get_running_loop()
        sent = clock.time()
        session.tell(f"{kind} {fields or ''} is sent to {replica}")
        answer = await self._send(session, kind, replica, fields)
        outcome = self._outcome(session, kind, answer)
        call = Call(kind, answer.replica if answer else -1, sent, inf if outcome is UNKNOWN else clock.time(), outcome)
        session.calls.append(call)
        session.tell(f"{kind}, sent to {replica} at {sent:.3f}, is answered: {_words(answer)}")
        if answer and answer.status == 200 and kind != "stop" and answer.body["pod_status"] == "ready":
            good = await self.visit(session, replica, answer.body["session_api_key"]) in {0, 200}
            session.visits.append(Visit(sent, clock.time(), good))
        return call

    async def _send(self, session: Session, kind: Kind, replica: int, fields: dict[str, Any]) -> Answer | None:
        if kind == "look":
            return await self.gateways.call(replica, "GET", f"/sessions/{session.id}")
        if kind == "start":
            fields = {"image": "agent:1", "command": self.node.command, "session_id": session.id, **fields}
        else:
            fields = {"runtime_id": session.name}
        return await self.gateways.call(replica, "POST", f"/{kind}", **fields)

    def _outcome(self, session: Session, kind: Kind, answer: Answer | None) -> Outcome:
        if answer is None:
            return UNKNOWN
        body = answer.body
        if answer.status == 404:
            assert isinstance(body["detail"], str)
            return GONE
        if answer.status == 503 and self.gateways.is_ended(answer.replica):
            assert isinstance(body["detail"], str)
            return UNKNOWN
        problem = f"{kind} is answered: {_words(answer)}\n{session.story}"
        assert answer.status == 200, problem
        assert body["runtime_id"] == session.name, problem
        if kind == "stop":
            assert body["status"] == "stopped", problem
            return GONE
        assert None not in body.values(), problem
        assert (body["status"], body["pod_status"]) in _PAIRS, problem
        assert body["url"] == PUBLIC_URL, problem
        return Alive(body["session_api_key"], body["status"] == "paused")

    async def visit(self, session: Session, replica: int, session_api_key: str) -> int:
        """Status of a request to the sandbox of this key; 0 if the answer was lost."""
        answer = await self.gateways.visit(replica, "/api/owner", session_api_key)
        session.tell(f"a visit through {replica} is answered: {_words(answer)}")
        return answer.status if answer else 0

    async def lose_pod(self, session: Session) -> None:
        """Take the pod away, as a person or a node that is shut down may do."""
        if session.now is GONE:
            return
        for pod in self.node.pods(self.uid(session.now)):
            session.losses.append(asyncio.get_running_loop().time())
            session.tell("its pod is taken away")
            await self.world.client.delete(PODS, self.world.namespace, pod["metadata"]["name"], grace_seconds=0)


def _words(answer: Answer | None) -> str:
    if answer is None:
        return "not at all"
    if answer.status != 200 or "status" not in (body := answer.body):
        return f"{answer.status} {answer.content.decode(errors='replace')} by process {answer.replica}"
    told = {name: body[name] for name in ("status", "pod_status", "session_api_key", "events") if name in body}
    return f"200 {told} by process {answer.replica}"
