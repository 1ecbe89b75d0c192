"""How an invocation ended: one closed set of words for logs, metrics and answers.

Source: the outcomes of Cloudflare's Workers trace events; the spelling is theirs.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """The one verdict on an invocation; decided in `kernel/dispatch.py` and nowhere else."""

    OK = "ok"
    EXCEPTION = "exception"
    EXCEEDED_CPU = "exceededCpu"
    EXCEEDED_MEMORY = "exceededMemory"
    EXCEEDED_WALL_TIME = "exceededWallTime"
    CANCELED = "canceled"
    LOAD_SHED = "loadShed"
    RESPONSE_STREAM_DISCONNECTED = "responseStreamDisconnected"
    SCRIPT_NOT_FOUND = "scriptNotFound"
    INTERNAL_ERROR = "internalError"
