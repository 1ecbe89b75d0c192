"""What every hop of a subrequest goes through: it is counted, bound to the deadline, judged, and waits for a place.

One coroutine and not four around each other, for the depth of awaits is paid at every step of every subrequest.
Invariants: nothing leaves that was not counted; a body that still streams is closed with its invocation at the
latest; those who wait for a place get it in the order in which they came, and a cancelled one never keeps it.
Source: Cloudflare's limits on subrequests and on simultaneous open connections.
"""

import asyncio
from collections import deque
from time import monotonic

from atoll.current import invocation, running
from atoll.errors import FetchTimeout
from atoll.fetch.guard import Guard
from atoll.http.body import Body, Source
from atoll.http.message import Request, Response
from atoll.limits import Budget
from atoll.ports import Fetcher, Invoked


class Metered:
    """A `Fetcher` that lets a request leave when its invocation's budget, its deadline and the address rules allow it.

    At most `limits.connections` requests of one invocation wait for response heads at once; the next waits its turn.
    """

    def __init__(self, inner: Fetcher, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard
        self._turns = Turns()

    async def fetch(self, request: Request) -> Response:
        """Charge and pass on.

        `TooManySubrequests` at the cap, `FetchTimeout` at the deadline, `AddressDenied`, `NoInvocation`.
        """
        invoked = invocation.get() or running("fetch")
        budget, turns = invoked.budget, self._turns
        budget.charge_subrequest()
        self._guard.check_url(request.url)
        task = invoked.begin_wait()
        started_s = monotonic()
        sent = False
        try:
            if budget.waiting < budget.limits.connections:
                budget.waiting += 1
            else:
                await turns.wait(budget)
            sent = True
            try:
                response = await self._inner.fetch(request)
            finally:
                if turns.anybody:
                    turns.leave(budget)
                else:
                    budget.waiting -= 1
        except asyncio.CancelledError:
            if invoked.was_cut(task):
                raise _late(request, budget, monotonic() - started_s, sent=sent) from None
            raise
        finally:
            invoked.end_wait(task)
        invoked.timed(request.url.hostname, started_s, monotonic())
        body = response.body
        if body is not None and (source := body.source) is not None:
            held = _Held(source, invoked)
            response.body = Body(source=held, length=body.raw_length, encoding=body.encoding)
        return response


def _late(request: Request, budget: Budget, waited_s: float, *, sent: bool) -> FetchTimeout:
    limits = budget.limits
    what = "an answer" if sent else f"its turn (limits.connections = {limits.connections})"
    return FetchTimeout(
        f"the subrequest to {request.url.origin} was cut {limits.reserve_s * 1000:.0f} ms before limits.wall_ms = "
        f"{limits.wall_ms}, so that the handler can still answer; it had waited {waited_s * 1000:.0f} ms for {what}"
    )


class Turns:
    """Who waits for a place among the subrequests of one invocation that wait for heads."""

    def __init__(self) -> None:
        self.anybody: dict[Budget, deque[asyncio.Future[None]]] = {}
        """Those who wait, by the budget of their invocation; an entry exists only while someone does."""

    async def wait(self, budget: Budget) -> None:
        """Wait until a place is given on; it is then the caller's to `leave`."""
        turn = asyncio.get_running_loop().create_future()
        self.anybody.setdefault(budget, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(budget)  # It was given the place at this very moment.
            raise

    def leave(self, budget: Budget) -> None:
        """Give the place to whoever has waited longest, passing over those that were cancelled; else it is free."""
        turns = self.anybody.get(budget)
        while turns:
            turn = turns.popleft()
            if not turns:
                del self.anybody[budget]
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
