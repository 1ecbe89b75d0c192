"""`atoll check`: read the configuration and load the workers once and again, and tell what that brought to light.

It runs authors' code in this very process, which serves nothing and ends afterwards.
"""

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import uvloop

from atoll.config import Config, WorkerConfig, read
from atoll.limits import Limits
from atoll.ports import Observer
from atoll.serve.channel import Problem
from atoll.serve.problems import described

EXIT_OK: Final = 0
EXIT_PROBLEMS: Final = 1


def check(paths: list[Path] | None, *, env: str | None, secrets_file: Path | None) -> int:
    """Print what there is and what is wrong with it; the exit status. Raises AtollError where nothing can be loaded."""
    config = read(
        paths, cwd=Path.cwd(), env=env, dev=secrets_file is None, environ=os.environ, secrets_file=secrets_file
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        problems, oddities = runner.run(_load_twice(config))
    for worker in config.workers:
        print("\n".join(_told(worker)))
    for warning in (*config.warnings, *oddities):
        print(f"warning: {warning}")
    for problem in problems:
        print(f"error: {described(problem)}")
    print("Nothing would stop the start." if not problems else f"{len(problems)} of {len(config.workers)} do not load.")
    return EXIT_PROBLEMS if problems else EXIT_OK


class _Oddities(Observer):
    """Keeps what the gateway warns of while it loads."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def warned(self, event: str, **facts: Any) -> None:
        line = f"{event}{''.join(f' {key}={value}' for key, value in facts.items())}"
        if line not in self.found:
            self.found.append(line)


async def _load_twice(config: Config) -> tuple[list[Problem], list[str]]:
    from atoll.serve.assembly import open_gateway

    observer = _Oddities()
    async with open_gateway(config, observer=observer, dev=False) as gateway:
        # The first run imports installed packages, which register what they need once; the second must add nothing.
        before = _piles()
        await gateway.reload(config)
        after = _piles()
        problems = [
            Problem(worker, str(error), error.file, error.line, error.detail)
            for worker, error in gateway.problems.items()
        ]
    grown = [
        f"{what} grew by {after[what] - size} when the top level ran a second time; it grows with every isolate. "
        "Do it inside a handler once, or check first whether it was done."
        for what, size in before.items()
        if after[what] > size
    ]
    return problems, [*observer.found, *grown]


def _piles() -> dict[str, int]:
    """How much there is of what all isolates of a process share."""
    named = list(logging.Logger.manager.loggerDict.values())
    loggers = [logging.getLogger(), *(logger for logger in named if isinstance(logger, logging.Logger))]
    return {
        "sys.path": len(sys.path),
        "sys.meta_path": len(sys.meta_path),
        "os.environ": len(os.environ),
        "the number of logging handlers": sum(len(logger.handlers) for logger in loggers),
        "the number of loggers": len(loggers),
        "the number of threads": threading.active_count(),
        "the number of warning filters": len(warnings.filters),
        "the number of exit handlers": atexit._ncallbacks(),
        "the number of signal handlers": sum(callable(signal.getsignal(number)) for number in signal.valid_signals()),
    }


def _told(worker: WorkerConfig) -> Iterator[str]:
    yield f"{worker.name}  {worker.main}"
    yield f"  routes     {', '.join(worker.routes) or 'whatever no other worker answers'}"
    yield f"  isolation  {worker.isolation}"
    defaults = Limits()
    changed = [
        f"{name} = {getattr(worker.limits, name)} (default {getattr(defaults, name)})"
        for name in Limits.__struct_fields__
        if getattr(worker.limits, name) != getattr(defaults, name)
    ]
    if changed:
        yield f"  limits     {', '.join(changed)}"
