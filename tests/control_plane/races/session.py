"""One session of one owner: what has been asked and told about it, and the states of its Sandbox."""

import asyncio
from dataclasses import dataclass
from math import inf

from control_plane.naming import runtime_id
from control_plane.races.gateways import OWNER
from control_plane.races.history import GONE, NOT_LIVE, Call, State, Told, explains


@dataclass(frozen=True, slots=True)
class Proof:
    """A visit to a sandbox that its replica had just told to be ready."""

    replica: int
    answered: float
    good: bool


class Session:
    """A record; times are the event loop's."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.name = runtime_id(OWNER, session_id)
        self.states: list[State] = [GONE]
        self.calls: list[Call] = []
        self.proofs: list[Proof] = []
        self.keys: list[str] = []
        """All session keys it has had, the newest last."""
        self.mortal: set[str] = set()
        """Session keys of Sandboxes whose time is over."""
        self.restarts: dict[str, str] = {}
        """By session key: when a new pod was asked for last (RFC 3339)."""
        self.with_environment: set[str] = set()
        """Session keys that have been told to who sent an environment."""
        self.reported_failed: list[float] = []
        """When it was said to have failed."""
        self._lost_at = inf
        self._failed_at = inf
        self._story: list[str] = []

    @property
    def now(self) -> State:
        """The newest state of its Sandbox."""
        return self.states[-1]

    def enter(self, state: State) -> None:
        """The Sandbox is in this state, which may be the same as before."""
        if state == self.now:
            return
        if state is not GONE:
            if self.now is not GONE and state.key != self.now.key:
                self.states.append(GONE)
            if state.key not in self.keys:
                self.keys.append(state.key)
        self.states.append(state)
        self.tell(f"the Sandbox is {state}")

    def tell(self, words: str) -> None:
        """Note what happens, for the reader of a failure."""
        self._story.append(f"{asyncio.get_running_loop().time():10.3f} {words}")

    def lose(self, words: str) -> None:
        """From now on its pod may end at any time, through nobody's request."""
        self._lost_at = min(self._lost_at, asyncio.get_running_loop().time())
        self.tell(words)

    def fail(self, words: str) -> None:
        """From now on a list may leave it out, which has only what starts or runs. Its pod may end, too."""
        self._failed_at = min(self._failed_at, asyncio.get_running_loop().time())
        self.lose(words)

    @property
    def story(self) -> str:
        """All that has happened."""
        return "\n".join([f"session {self.id}, sandbox {self.name}", *self._story])

    def judge(self) -> None:
        """Nothing that was told may be untrue. To be called when all calls are over."""
        calls = [call for call in self.calls if not (call.outcome is NOT_LIVE and call.answered > self._failed_at)]
        assert explains(self.states, calls), f"no order of the calls explains this:\n{self.story}"
        untrue = [when for when in self.reported_failed if when < self._failed_at]
        assert not untrue, f"it has not failed:\n{self.story}"
        lies = [proof for proof in self.proofs if not proof.good and not self._was_disturbed(proof)]
        assert not lies, f"not ready, as was told: {lies}\n{self.story}"

    def _was_disturbed(self, proof: Proof) -> bool:
        """Whether the pod may have ended since the replica has last seen for sure that the sandbox shall run."""
        known = [call for call in self.calls if call.kind in {"start", "resume"} and isinstance(call.outcome, Told)]
        since = [call.sent for call in known if call.replica == proof.replica and call.answered <= proof.answered]
        ends = [call for call in self.calls if call.kind in {"stop", "pause", "idle", "expire"}]
        ended = any(call.sent < proof.answered and call.answered > max(since, default=0.0) for call in ends)
        return ended or self._lost_at < proof.answered
