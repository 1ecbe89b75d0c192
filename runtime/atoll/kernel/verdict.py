"""What an exception that author code let out means: the one place where it becomes an error with status and outcome.

An exhausted budget or a cancellation has been decided before this is asked: those are read from the invocation's state,
never from the exception, which author code may have swallowed or wrapped.
"""

import asyncio

from atoll.errors import AtollError, BadRequest, Canceled, FetchTimeout, HandlerFailed, WallExceeded


def verdict_on(error: BaseException, worker: str) -> AtollError:
    """Name what author code let out; an exhausted budget has been decided before this is asked."""
    if isinstance(error, FetchTimeout) or (isinstance(error, BaseExceptionGroup) and error.subgroup(FetchTimeout)):
        late = WallExceeded(f"the handler of worker {worker!r} did not catch a timeout: {error}")
        late.__cause__ = error
        return late
    if isinstance(error, (BadRequest, Canceled)):
        # What the client did to its request body, met by a handler that read it.
        return error
    if isinstance(error, AtollError) and not isinstance(error, OSError) and error.code is not None:
        return error
    if isinstance(error, asyncio.CancelledError):
        failed: AtollError = HandlerFailed("the handler cancelled its own task")
    else:
        failed = HandlerFailed(f"the handler of worker {worker!r} raised {brief(error)}")
    failed.__cause__ = error
    return failed


def brief(error: BaseException) -> str:
    """Type and text of an exception, short enough for one line."""
    text = str(error)
    return f"{type(error).__name__}: {text[:500]}" if text else type(error).__name__
