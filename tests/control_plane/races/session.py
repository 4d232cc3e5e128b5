"""One session of one owner: what has been asked and told about it, and the states of its Sandbox."""

import asyncio
from dataclasses import dataclass

from control_plane.races.gateways import OWNER
from control_plane.races.history import GONE, Call, State, explains
from sandbox_crds.names import runtime_id


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to a sandbox that had just been told to be ready; `told` is when that telling was asked for."""

    told: float
    answered: float
    good: bool


class Session:
    """A record; times are the event loop's."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.name = runtime_id(OWNER, session_id)
        self.states: list[State] = [GONE]
        self.calls: list[Call] = []
        self.visits: list[Visit] = []
        self.losses: list[float] = []
        """When its pod was taken away from outside."""
        self.keys: set[str] = set()
        """All session keys it has had."""
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
            self.keys.add(state.key)
        self.states.append(state)
        self.tell(f"the Sandbox is {state}")

    def tell(self, words: str) -> None:
        """Note what happens, for the reader of a failure."""
        self._story.append(f"{asyncio.get_running_loop().time():10.3f} {words}")

    @property
    def story(self) -> str:
        """All that has happened."""
        return "\n".join([f"session {self.id}, sandbox {self.name}", *self._story])

    def judge(self) -> None:
        """Nothing that was told may be untrue. To be called when all calls are over."""
        assert explains(self.states, self.calls), f"no order of the calls explains this:\n{self.story}"
        lies = [visit for visit in self.visits if not visit.good and not self._was_disturbed(visit)]
        assert not lies, f"not ready, as was told: {lies}\n{self.story}"

    def _was_disturbed(self, visit: Visit) -> bool:
        """Whether anything may have ended the pod between the telling and the visit."""
        ends = [call for call in self.calls if call.kind in {"stop", "pause"}]
        return any(call.sent < visit.answered and call.answered > visit.told for call in ends) or any(
            lost < visit.answered for lost in self.losses
        )
