"""What a subrequest costs its invocation: one of its number, and a place among those that wait for an answer.

Invariants: nothing leaves that was not counted; a body that still streams is closed with its invocation at the
latest; those who wait for a place get it in the order in which they came, and a cancelled one never keeps it.
Source: Cloudflare's limits on subrequests and on simultaneous open connections.
"""

import asyncio
from collections import deque
from time import monotonic

from atoll.current import running
from atoll.http.body import Body, Source
from atoll.http.message import Request, Response
from atoll.limits import Budget
from atoll.ports import Fetcher, Invoked


class Charged:
    """A `Fetcher` that counts each request against its invocation's budget and deadline before it leaves."""

    def __init__(self, inner: Fetcher) -> None:
        self._inner = inner

    async def fetch(self, request: Request) -> Response:
        """Charge and pass on; `TooManySubrequests` at the cap, `FetchTimeout` at the deadline, `NoInvocation`."""
        invoked = running("fetch")
        invoked.budget.charge_subrequest()
        started_s = monotonic()
        response = await invoked.before_deadline(self._inner.fetch(request))
        invoked.timed(request.url.hostname, started_s, monotonic())
        body = response.body
        if body is not None and (source := body.source) is not None:
            held = _Held(source, invoked)
            response.body = Body(source=held, length=body.raw_length, encoding=body.encoding)
        return response


class Slotted:
    """A `Fetcher` that lets at most `limits.connections` requests of one invocation wait for response heads at once."""

    def __init__(self, inner: Fetcher) -> None:
        self._inner = inner
        self._turns: dict[Budget, deque[asyncio.Future[None]]] = {}
        """Those who wait, by the budget of their invocation; an entry exists only while someone does."""

    async def fetch(self, request: Request) -> Response:
        """Wait for a place if there is none, then pass on."""
        budget = running("fetch").budget
        if budget.waiting < budget.limits.connections:
            budget.waiting += 1
        else:
            await self._turn(budget)
        try:
            return await self._inner.fetch(request)
        finally:
            if self._turns:
                self._leave(budget)
            else:
                budget.waiting -= 1

    async def _turn(self, budget: Budget) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._turns.setdefault(budget, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(budget)  # It was given the place at this very moment.
            raise

    def _leave(self, budget: Budget) -> None:
        """Give the place to whoever has waited longest, passing over those that were cancelled; else it is free."""
        turns = self._turns.get(budget)
        while turns:
            turn = turns.popleft()
            if not turns:
                del self._turns[budget]
            if not turn.done():
                turn.set_result(None)
                return
        budget.waiting -= 1


class _Held:
    """A body source that its invocation knows of, until it has been read to its end or closed."""

    __slots__ = ("_invoked", "_source")

    def __init__(self, source: Source, invoked: Invoked) -> None:
        self._source = source
        self._invoked: Invoked | None = invoked
        invoked.hold(self)

    async def read(self) -> bytes:
        chunk = await self._source.read()
        if not chunk:
            self._release()
        return chunk

    def close(self) -> None:
        self._release()
        self._source.close()

    def _release(self) -> None:
        invoked, self._invoked = self._invoked, None
        if invoked is not None:
            invoked.release(self)
