"""A traceback as the author of a worker wants to read it: the frames of their own files, and the message.

Rules of this file: text only; nothing here decides who may see it (clients may not, outside of `atoll dev`).
"""

import sysconfig
import traceback
from pathlib import Path
from typing import Final

from atoll.errors import AtollError

TEXT_CHARACTERS_MAX: Final = 16_384

_RUNTIME: Final = str(Path(__file__).resolve().parent) + "/"
_OTHERS: Final = tuple({_RUNTIME, "<frozen ", *(sysconfig.get_path(name) + "/" for name in ("stdlib", "purelib"))})


def authors_trace(error: BaseException) -> str:
    """The traceback behind an error, reduced to the author's frames.

    Where none is left the fault is not the author's: an error of the runtime's own tree then says enough by its
    text, and any other exception is a bug whose whole traceback is wanted.
    """
    if isinstance(error, AtollError) and error.detail:
        return error.detail
    cause = (error.__cause__ or error) if isinstance(error, AtollError) else error
    whole = traceback.TracebackException.from_exception(cause)
    reduced = traceback.TracebackException.from_exception(cause)
    # A syntax error has no frame of the file that it is in, and names it all the same.
    if _reduce(reduced) or isinstance(cause, SyntaxError):
        return _text(reduced)
    return str(cause) if isinstance(cause, AtollError) else _text(whole)


def _reduce(trace: traceback.TracebackException) -> int:
    """Drop all frames but the author's, in causes and groups too; how many are left."""
    trace.stack[:] = [frame for frame in trace.stack if not frame.filename.startswith(_OTHERS)]
    left = len(trace.stack)
    for other in (trace.__cause__, trace.__context__, *(trace.exceptions or ())):
        if other is not None:
            left += _reduce(other)
    return left


def _text(trace: traceback.TracebackException) -> str:
    text = "".join(trace.format()).rstrip("\n")
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    half = TEXT_CHARACTERS_MAX // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"
