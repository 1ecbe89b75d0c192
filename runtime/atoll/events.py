"""Events and what became of them: the words that triggers and kernel exchange."""

from collections.abc import Callable
from dataclasses import dataclass

from atoll.errors import AtollError
from atoll.http.message import Request, Response
from atoll.outcome import Outcome

__all__ = ["Delivery", "FetchEvent", "Outcome"]


@dataclass(frozen=True, slots=True, eq=False)
class FetchEvent:
    """An HTTP request for a worker."""

    request: Request


class Delivery:
    """What a handler did with an event.

    For a fetch event either `response` or `error` is set. Whoever takes the delivery calls `finish` once the
    body has been sent to its end, or with the error that cut it; only then does the invocation drain and close.
    """

    __slots__ = ("_finish", "error", "invocation_id", "response", "server_timing")

    def __init__(
        self,
        invocation_id: str,
        response: Response | None,
        error: AtollError | None,
        finish: "Callable[[AtollError | None], None]",
        server_timing: "Callable[[], str]",
    ) -> None:
        self.invocation_id = invocation_id
        self.response = response
        self.error = error
        self._finish = finish
        self.server_timing = server_timing
        """What has been spent so far, as the value of a Server-Timing field."""

    def finish(self, error: AtollError | None = None) -> None:
        """Say that the last byte has left (or why it never will); the invocation then drains by itself."""
        self._finish(error)
