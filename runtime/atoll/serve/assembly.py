"""From a configuration to an opened gateway: the one place where the rooms meet.

Rules of this file: wiring only; what it opens it closes, in reverse order. A gateway lives in one process, on one
event loop; its traces in the process (task factory, `sys.meta_path`, collector, guards) are gone when it is closed.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from atoll.bindings.env import EnvFactory
from atoll.config import Config, WorkerConfig
from atoll.errors import ScriptError
from atoll.fetch.stack import Stack, build
from atoll.kernel import memo
from atoll.kernel.ahead import Ahead
from atoll.kernel.dispatch import Dispatcher, Service
from atoll.kernel.garbage import Garbage
from atoll.kernel.guards import Guards
from atoll.kernel.imports import FirstImports
from atoll.kernel.isolate import Stage
from atoll.kernel.loader import hidden_names, load
from atoll.kernel.meter import Meter
from atoll.kernel.threads import AuthorThreads
from atoll.kernel.watchdog import Watchdog
from atoll.ports import Faces, Observer
from atoll.rules.routing import Router
from atoll.serve.heartbeat import PREFIX
from atoll.suspension import Suspension
from atoll.triggers.connection import HttpBounds
from atoll.triggers.http import HttpTrigger, WorkerBounds
from atoll.workers.faces import AuthorsFaces


class Gateway:
    """An opened runtime: workers loaded, ready to accept connections."""

    def __init__(
        self,
        config: Config,
        *,
        observer: Observer,
        dev: bool,
        stage: Stage,
        stack: Stack,
        imports: FirstImports,
        suspension: Suspension,
    ) -> None:
        self._observer = observer
        self._suspension = suspension
        self._stage = stage
        self._imports = imports
        self._faces: Faces = AuthorsFaces()
        self._services: dict[str, Service] = {}
        self._bounds: dict[str, WorkerBounds] = {}
        self._router = Router(())
        self.meter = Meter(stage)
        self.guards = Guards(asyncio.get_running_loop(), tracing=suspension.inspect)
        self._hold_ms = 1000
        self.watchdog = Watchdog(self.meter, lambda: self._hold_ms)
        self.garbage = Garbage(lambda: self.dispatcher.in_flight, lambda: self.dispatcher.in_flight + self.connections)
        self.dispatcher = Dispatcher(
            self._services,
            fetcher=stack.fetcher,
            faces=self._faces,
            meter=self.meter,
            observer=observer,
            in_flight_max=config.gateway.in_flight,
            suspension=suspension,
            on_closed=self._closed,
        )
        self.ahead = Ahead(self._services, stage, lambda: self.dispatcher.in_flight)
        gateway = config.gateway
        self._trigger = HttpTrigger(
            dispatch=self.dispatcher,
            route=lambda host, path: self._router.match(host, path),
            bounds_of=self._bounds.__getitem__,
            observer=observer,
            bounds=HttpBounds(
                url_bytes_max=gateway.url_kb * 1024,
                headers_bytes_max=gateway.headers_kb * 1024,
                header_timeout_s=gateway.header_timeout_s,
                idle_timeout_s=gateway.idle_timeout_s,
                write_timeout_s=gateway.write_timeout_s,
                connections_max=gateway.connections,
            ),
            dev=dev,
        )

    @property
    def problems(self) -> Mapping[str, ScriptError]:
        """Workers that do not load, and why; their requests are answered with that."""
        return {
            name: service.script for name, service in self._services.items() if isinstance(service.script, ScriptError)
        }

    @property
    def in_flight(self) -> int:
        """Invocations that have not been closed."""
        return self.dispatcher.in_flight

    @property
    def connections(self) -> int:
        """Client connections that are open."""
        return self._trigger.connections

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        await self._trigger.serve(sock)

    async def reload(self, config: Config) -> None:
        """Load the workers' code anew and swap it in; invocations in flight keep what they run."""
        router = Router.of(config.workers)
        loaded = {worker.name: self._load(worker, index) for index, worker in enumerate(config.workers)}
        bounds = {worker.name: _bounds(worker, config, self._suspension) for worker in config.workers}
        self._hold_ms = min((worker.limits.hold_ms for worker in config.workers), default=1000)
        self._services.clear()
        self._services.update(loaded)
        self._bounds.clear()
        self._bounds.update(bounds)
        self._router = router

    def show(self, marks: "memoryview[int]") -> None:
        """Write what runs into memory that the supervisor reads (`serve/heartbeat`)."""
        marks[PREFIX] = int(self.dispatcher.prefix, 16)
        self.meter.marks = self._imports.marks = marks

    def rest(self) -> None:
        """The loop turns: no step is running."""
        self.meter.rest()

    def settle(self) -> None:
        """Start-up is over: what lives now stays, and the collector works by Atoll's own plan from here on."""
        self.garbage.start()
        self.guards.settle()

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more; wait for what is in flight, but no longer than this; then close all connections."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._trigger.drain(timeout_s))
            group.create_task(self._rest(timeout_s))

    async def _rest(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.dispatcher.idle()
        except TimeoutError:
            self._observer.warned("drain_timed_out", in_flight=self.in_flight, after_s=timeout_s)

    def _load(self, worker: WorkerConfig, index: int) -> Service:
        for name in hidden_names(worker.root):
            self._observer.warned(
                "module_hidden",
                worker=worker.name,
                file=str(worker.root / f"{name}.py"),
                why=f"`import {name}` means the standard library's or the runtime's module; rename the file",
            )
        env = EnvFactory(worker.vars)
        try:
            script = load(
                worker.name, worker.main, worker.root, worker.isolation, worker.limits, self._stage, self._faces
            )
        except ScriptError as problem:
            return Service(problem, env, index)
        return Service(script, env, index)

    def _closed(self, kept: bool) -> None:
        self.guards.mend()
        self.garbage.closed(kept)
        self.ahead.rested()


@asynccontextmanager
async def open_gateway(
    config: Config, *, observer: Observer, dev: bool, suspension: Suspension | None = None
) -> AsyncIterator[Gateway]:
    """Wire and open everything for this configuration; closing cancels what is still in flight.

    A worker that does not load does not stop the gateway from opening: look at `problems`. Raises `ConfigError` when
    routes contradict each other.
    """
    loop = asyncio.get_running_loop()
    stage = Stage()
    stack = build(config.fetch)
    imports = FirstImports(stage)
    threads = AuthorThreads()
    gateway = Gateway(
        config,
        observer=observer,
        dev=dev,
        stage=stage,
        stack=stack,
        imports=imports,
        suspension=suspension or Suspension(),
    )
    before = loop.get_task_factory()
    stage.install()
    imports.install()
    threads.install()
    memo.install()
    loop.set_task_factory(cast(Any, gateway.meter.task_factory))
    gateway.guards.install()
    try:
        await gateway.reload(config)
        gateway.watchdog.start()
        yield gateway
    finally:
        await gateway.drain(0)
        gateway.watchdog.stop()
        await stack.aclose()
        gateway.guards.uninstall()
        gateway.ahead.stop()
        gateway.garbage.stop()
        loop.set_task_factory(before)
        memo.uninstall()
        threads.uninstall()
        imports.uninstall()
        stage.uninstall()


def _bounds(worker: WorkerConfig, config: Config, suspension: Suspension) -> WorkerBounds:
    return WorkerBounds(
        body_bytes_max=worker.limits.request_body_mb * 1024 * 1024,
        body_timeout_s=config.gateway.body_timeout_s,
        body_idle_s=worker.limits.body_idle_ms / 1000,
        body_s=worker.limits.body_ms / 1000,
        suspension=suspension,
    )
