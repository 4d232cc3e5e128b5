"""Takes part in the election of the operator that may write. The candidates compete for one Lease."""

import asyncio
import math
import platform
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import aiohttp
import orjson
import structlog

from sandbox_common.kube import FAILURES, ApiError, Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import LEASES
from sandbox_operator.leader import lease
from sandbox_operator.leader.election import Election, LeaseRecord, Read, Timing, Wait, Write
from sandbox_operator.leader.service_account import ServiceAccount, own_service_account
from sandbox_operator.process import metrics

type Clock = Callable[[], float]
type RunTerm = Callable[[KubeClient], Awaitable[None]]
"""Does the work of one term, with the client that the leader writes with."""

_RELEASE_SECONDS = 2.0
_JITTER = 0.1
_REPEAT_SECONDS = 60.0
"""Between two log lines about the same problem."""
_FAILURES = (*FAILURES, orjson.JSONDecodeError, LookupError)

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NotLeadingError(aiohttp.ClientConnectionError):
    """This process does not lead, so it has not sent the write."""


def own_identity() -> str:
    """A unique name for this process: the name of the pod or host, and a random suffix."""
    return f"{platform.node()}_{secrets.token_hex(4)}"


def boot_clock() -> Clock:
    """A monotonic clock that also counts while the machine sleeps, if the system has one. A lease expires then, too."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot_time is None else partial(time.clock_gettime, boot_time)


class Elector:
    """One candidate for the Lease `name`. It uses `client` for the Lease.

    A term writes with `writer`, which has separate connections, so that a renewal never waits behind other requests.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        timing: Timing,
        identity: str = "",
        clock: Clock | None = None,
        writer: KubeClient | None = None,
    ) -> None:
        self.identity = identity or own_identity()
        self._client = client
        self._writer = writer or client
        self._namespace = namespace
        self._name = name
        self._timing = timing
        self._clock = clock or boot_clock()
        self._election = Election(self.identity, timing)
        self._account = ServiceAccount()
        self._news = asyncio.Event()
        self._problem, self._said_at = "", -math.inf
        self._informer: Informer[LeaseRecord] = Informer(
            client,
            LEASES,
            namespace,
            self._decode,
            field_selector=f"metadata.name={name}",
            on_change=self._on_change,
        )

    @property
    def leads(self) -> bool:
        """Whether this process may write."""
        return self._election.leads(self._clock())

    async def run(self, term: RunTerm) -> None:
        """Run `term` whenever this process leads, and cancel it when it no longer leads. Runs until cancelled.

        After the loss of the Lease, writes of the term's client raise NotLeadingError. When `run` is cancelled, the
        term ends first, and then the Lease is released. Raises what the term raises.
        """
        self._account = await self._own_account()
        watching = asyncio.create_task(self._informer.run())
        try:
            while True:
                await self._become_leader()
                await self._lead(term)
                # The mounted token may by now belong to a new service account.
                self._account = await self._own_account()
        finally:
            await self._release()
            watching.cancel()
            await asyncio.wait([watching])

    async def _own_account(self) -> ServiceAccount:
        """Ask until there is an answer: without one, the Lease cannot be used either."""
        while True:
            try:
                async with asyncio.timeout(self._timing.call):
                    return await own_service_account(self._client)
            except _FAILURES as error:
                self._failed(error)
            await asyncio.sleep(self._timing.retry)

    def _decode(self, item: KubeObject) -> LeaseRecord:
        return lease.decode(item, self._account)

    def _on_change(self, _: str, record: LeaseRecord | None) -> None:
        if record is None:
            self._election.doubt()
        else:
            self._election.observe(record, self._clock())
        self._news.set()

    async def _become_leader(self) -> None:
        held_by = None
        while not self.leads:
            record = self._election.record
            if record and record.holder not in {"", held_by, self.identity}:
                held_by = record.holder
                _log.info("standing by", leader=held_by)
            if not await self._step():
                await self._wait([])

    async def _lead(self, term: RunTerm) -> None:
        _log.info("leading", identity=self.identity)
        metrics.TERMS.inc()
        client = self._writer.guarded(self._guard)
        task = asyncio.ensure_future(term(client))
        try:
            while self.leads and not task.done():
                if not await self._step():
                    await self._wait([task])
        finally:
            # From here on, nothing is sent, whatever the term does before it ends.
            self._election.resign()
            task.cancel()
            await asyncio.wait([task])
            _log.info("leading no more")
        if not task.cancelled():
            task.result()
            raise RuntimeError("a leader's work has ended by itself")

    def _guard(self) -> float:
        """Seconds until the fence."""
        left = self._election.fence - self._clock()
        if left <= 0:
            raise NotLeadingError("this operator does not lead: another one continues")
        return left

    async def _wait(self, tasks: list[asyncio.Future[None]]) -> None:
        """Wait for the next step, the fence, a change of the Lease, or the end of one of the tasks."""
        now, step = self._clock(), self._election.step(self._clock())
        until = step.until if isinstance(step, Wait) else now
        if self._election.leads(now):
            until = min(until, self._election.fence)
        self._news.clear()
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait([news, *tasks], timeout=max(until - now, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def _step(self) -> bool:
        """Do the step that is due; False if none is."""
        now = self._clock()
        step = self._election.step(now)
        if isinstance(step, Wait):
            return False
        seconds = self._timing.call
        if self._election.leads(now):
            seconds = min(seconds, self._election.fence - now)
        try:
            async with asyncio.timeout(seconds):
                await (self._read() if isinstance(step, Read) else self._write(step))
        except asyncio.CancelledError:
            # The request may still succeed.
            self._election.doubt()
            raise
        except ApiError as error:
            if error.code in {404, 409}:
                self._election.doubt()
            else:
                self._failed(error)
        except _FAILURES as error:
            self._failed(error)
        return True

    async def _has_another_account(self) -> bool:
        """Whether this process has got another service account while it stood by. If so, the Lease is read again."""
        if not self._account.uid:
            return False  # an unknown account replaces no other, and asking again would only take time
        account = await own_service_account(self._client)
        if account == self._account:
            return False
        self._account = account
        self._election.doubt()
        return True

    async def _read(self) -> None:
        known = self._election.record
        found = await self._client.find(LEASES, self._namespace, self._name)
        if found is None:
            self._election.absent(self._clock())
        else:
            # A read gives the present state, unless the watch has meanwhile shown a newer one.
            is_present = self._election.record is known
            self._election.observe(self._decode(found), self._clock(), present=is_present)

    async def _write(self, step: Write) -> None:
        if not self.leads and await self._has_another_account():
            return
        sent_at, now, duration = self._clock(), datetime.now(UTC), self._timing.duration
        if step.base is None:
            body = lease.new(self._name, self.identity, self._account, duration, now)
            stored = await self._client.create(LEASES, self._namespace, body)
        else:
            body = lease.hold(step.base, self.identity, self._account, duration, now)
            stored = await self._client.patch(LEASES, self._namespace, self._name, body)
        self._election.written(self._decode(stored), sent_at, self._clock())

    def _failed(self, error: BaseException) -> None:
        now, problem = self._clock(), str(error) or type(error).__name__
        self._election.failed(now + random.uniform(0, _JITTER * self._timing.retry))  # noqa: S311
        # Attempts come several times a second.
        if problem != self._problem or now - self._said_at >= _REPEAT_SECONDS:
            self._problem, self._said_at = problem, now
            _log.warning("the lease cannot be read or written", error=problem)

    async def _release(self) -> None:
        """Release the Lease if this process holds it, so that another operator need not wait until it expires."""
        self._election.resign()
        with suppress(*_FAILURES):
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._give_back()

    async def _give_back(self) -> None:
        if not self._election.certain:
            await self._read()
        while (record := self._election.record) and record.holder == self.identity:
            try:
                body = lease.release(record, datetime.now(UTC))
                await self._client.patch(LEASES, self._namespace, self._name, body)
            except ApiError as error:
                if error.code != 409:
                    raise
                # A renewal whose answer was lost has succeeded.
                await self._read()
                if self._election.record == record:
                    raise
            else:
                return
