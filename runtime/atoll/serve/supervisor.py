"""The supervisor: keeps so many processes serving, replaces those that die or hang, rolls over to a new plan.

It never imports nor runs authors' code. One task keeps each slot filled; a plan is what a process is forked to
serve, and changing it forks the new process, waits until it serves, and only then lets the old one go.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from atoll.config import Config
from atoll.errors import StartError
from atoll.observe.log import Log
from atoll.serve.channel import Problem, Settings
from atoll.serve.child import Child, NotServing
from atoll.serve.crashes import CrashLoop
from atoll.serve.heartbeat import IMPORTING, TICK_S
from atoll.serve.spawner import Spawner

GRACE_S: Final = 5.0
"""Added to what a process may rightly be silent or take, before it is ended."""
STEP_GRACE_S: Final = 0.5
"""Added to what a step may take, before its process is ended: the process itself stops what it can."""
STACK_S: Final = 0.2
"""How long a stuck process has to print its stack."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What processes are forked to serve, and on which sockets."""

    config: Config
    sockets: list[socket.socket]

    @property
    def hold_s(self) -> float:
        """How long one step of any worker may hold the loop."""
        return (
            max((max(worker.limits.hold_ms, worker.limits.cpu_ms) for worker in self.config.workers), default=0) / 1e3
        )

    @property
    def load_s(self) -> float:
        """How long the loading of all workers may hold the loop."""
        return sum(worker.limits.startup_ms for worker in self.config.workers) / 1000


@dataclass(eq=False)
class Slot:
    """A place for one serving process; the lock is held by whoever fills it."""

    child: Child | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Supervisor:
    """Processes that serve one plan."""

    def __init__(self, spawner: Spawner, settings: Settings, log: Log, *, grace_s: float = GRACE_S) -> None:
        self._spawner = spawner
        self._settings = settings
        self._log = log
        self._grace_s = grace_s
        self._plan: Plan | None = None
        self._slots: list[Slot] = []
        self._children: dict[Child, Plan] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._crashes = CrashLoop()
        self._changed = asyncio.Event()
        spawner.on_lost = lambda status: log.warned("template_replaced", status=status)

    async def start(self, plan: Plan, processes: int) -> list[Problem]:
        """Fork so many processes; the workers that do not load (in dev). `StartError` or `NotServing` otherwise."""
        self._spawner.attach()
        self._plan = plan
        self._slots = [Slot() for _ in range(processes)]
        self._begin(self._watch_heartbeats())
        launched = [asyncio.create_task(self._launch(plan)) for _ in self._slots]
        try:
            results = await asyncio.gather(*launched)
        except BaseException:
            for task in launched:
                task.cancel()
            raise
        for slot, (child, _) in zip(self._slots, results, strict=True):
            slot.child = child
            self._begin(self._keep(slot))
        return results[0][1]

    async def reload(self) -> list[Problem] | None:
        """Have all processes read the code again; the workers that do not load, or None when a process died of it."""
        self._hurry()
        problems: list[Problem] | None = []
        for slot in self._slots:
            async with slot.lock:
                if slot.child is not None:
                    problems = await slot.child.reload()
        return problems

    async def replace(self, plan: Plan) -> list[Problem]:
        """Roll over to another plan; the old processes go once all new ones serve. `NotServing`: nothing changed."""
        results = await asyncio.gather(*(self._launch(plan) for _ in self._slots), return_exceptions=True)
        launched = [result for result in results if not isinstance(result, BaseException)]
        for failure in results:
            if isinstance(failure, BaseException):
                for child, _ in launched:
                    child.drain(0)
                raise failure
        self._plan = plan
        self._hurry()
        for slot, (child, _) in zip(self._slots, launched, strict=True):
            async with slot.lock:
                old, slot.child = slot.child, child
            if old is not None:
                old.drain(plan.config.gateway.drain_s)
                old.gone.set()
        return launched[0][1]

    async def stop(self, drain_s: float) -> bool:
        """Drain all processes for so long and end what is left; whether all went by themselves."""
        for task in self._tasks:
            task.cancel()
        children = list(self._children)
        for child in children:
            child.drain(drain_s)
        exits = [asyncio.create_task(child.exited.wait()) for child in children]
        if exits:
            await asyncio.wait(exits, timeout=drain_s + self._grace_s)
        clean = all(child.exited.is_set() for child in children)
        self.kill()
        return clean

    def kill(self) -> None:
        """End every process at once."""
        for child in self._children:
            child.signal(signal.SIGKILL)

    async def _launch(self, plan: Plan) -> tuple[Child, list[Problem]]:
        child = await Child.fork(self._spawner, plan.sockets, plan.config, self._settings)
        self._children[child] = plan
        self._begin(self._forget(child))
        return child, await child.ready()

    async def _forget(self, child: Child) -> None:
        await child.exited.wait()
        del self._children[child]

    async def _keep(self, slot: Slot) -> None:
        while True:
            child = slot.child
            assert child is not None
            await child.gone.wait()
            async with slot.lock:
                # A rolling replacement may have filled the slot already.
                if slot.child is child:
                    slot.child = await self._replacement(child)

    async def _replacement(self, fallen: Child) -> Child:
        began_s = time.monotonic()
        wait_s = 0.0 if fallen.leaving else self._crashes.died(began_s)
        while True:
            if wait_s:
                self._log.warned("process_crash_loop", pid=fallen.pid, wait_ms=round(wait_s * 1000))
                await self._pause(wait_s)
            assert self._plan is not None
            try:
                child, problems = await self._launch(self._plan)
            except (NotServing, StartError) as error:
                self._log.failed(None, error, "process_not_started")
                self._tell(error.problems if isinstance(error, NotServing) else [])
                wait_s = self._crashes.died(time.monotonic())
                continue
            self._tell(problems)
            took_ms = round((time.monotonic() - began_s) * 1000, 1)
            self._log.warned("process_replaced", pid=child.pid, fallen=fallen.pid, cause=fallen.status, took_ms=took_ms)
            return child

    async def _pause(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _hurry(self) -> None:
        """Something has changed: what did not come up is tried again at once."""
        self._crashes = CrashLoop()
        self._changed.set()
        self._changed.clear()

    def _tell(self, problems: list[Problem]) -> None:
        for problem in problems:
            self._log.warned("worker_not_loaded", worker=problem.worker, error=problem.text)

    async def _watch_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            for child, plan in list(self._children.items()):
                if child.exited.is_set():
                    continue
                if child.pulse.feel(now_s) > self._allowed_s(child, plan) and not child.stuck:
                    child.stuck = True
                    self._begin(self._end_stuck(child, self._step(child, plan)))

    def _allowed_s(self, child: Child, plan: Plan) -> float:
        # What is no step of author code, such as a start, a reload or a drain's end, takes its time.
        if child.loading or child.leaving or child.pulse.heartbeat.marks[IMPORTING]:
            return plan.hold_s + plan.load_s + self._grace_s
        return plan.hold_s + STEP_GRACE_S

    def _step(self, child: Child, plan: Plan) -> dict[str, str]:
        """The worker and the invocation whose step holds the process."""
        step = child.pulse.heartbeat.step()
        if step is None or step[0] >= len(plan.config.workers):
            return {}
        return {"worker": plan.config.workers[step[0]].name, "request_id": step[1]}

    async def _end_stuck(self, child: Child, step: dict[str, str]) -> None:
        self._log.warned("process_stuck", pid=child.pid, silent_ms=round(child.pulse.silent_s * 1000), **step)
        child.signal(signal.SIGUSR2)
        await asyncio.sleep(STACK_S)
        child.signal(signal.SIGKILL)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
