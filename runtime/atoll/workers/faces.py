"""The authors' API as the kernel uses it (`ports.Faces`)."""

from types import ModuleType
from typing import Any

from atoll.errors import BodyUsed
from atoll.http.message import Request as InnerRequest
from atoll.http.message import Response as InnerResponse
from atoll.ports import Invoked
from atoll.workers.context import Context
from atoll.workers.entrypoint import fetch_handler
from atoll.workers.facade import new_facade
from atoll.workers.handlers import check, given_count
from atoll.workers.request import Request
from atoll.workers.response import Response


class AuthorsFaces:
    """Puts `workers` into isolates, and the authors' Request and Response on either side of a handler."""

    __slots__ = ()

    def modules(self) -> dict[str, ModuleType]:
        """See `ports.Faces`."""
        return {"workers": new_facade()}

    def check(self, module: ModuleType, file: str) -> None:
        """See `ports.Faces`."""
        check(module, file)

    async def fetch(self, module: ModuleType, file: str, request: InnerRequest, env: Any, ctx: Any) -> InnerResponse:
        """See `ports.Faces`."""
        # What is proxied by fetch(request) gives its redirects to the client, unfollowed.
        request.redirect = "manual"
        handler, name = fetch_handler(module, file, env, ctx)
        given = (Request._of(request), env, ctx)[: given_count(handler)]
        answer = handler(*given)
        if hasattr(answer, "__await__"):
            answer = await answer
        if not isinstance(answer, Response):
            raise TypeError(f"{name} of {file} must return a workers.Response, not {type(answer).__name__}")
        try:
            return answer._sendable()
        except BodyUsed:
            raise TypeError(
                f"{name} of {file} returned a Response whose body has been used already: a body can be read or sent "
                "once; return response.clone(), or make a new Response for each request"
            ) from None

    def context(self, invoked: Invoked) -> Context:
        """See `ports.Faces`."""
        return Context(invoked)
