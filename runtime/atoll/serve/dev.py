"""`atoll dev`: the local server. One process; what is saved is live at once; mistakes are told, not fatal.

Changed code is read again by the running process, where requests in flight keep what they run. A changed
configuration forks a new process, and the old one leaves when the new one serves.
"""

import asyncio
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atoll.config import Config, read
from atoll.errors import AtollError, StartError
from atoll.observe.log import open_log
from atoll.serve.age import age_ms
from atoll.serve.channel import Settings
from atoll.serve.child import NotServing
from atoll.serve.colour import colours
from atoll.serve.console import Console
from atoll.serve.hotkeys import heeding_keys
from atoll.serve.sockets import listen, port_of, url_of
from atoll.serve.spawner import TEMPLATE, Spawner
from atoll.serve.stopping import Asked, Stopping, heeding_signals, stop
from atoll.serve.supervisor import Plan, Supervisor
from atoll.serve.watch import Changes, Watch, Watched

DRAIN_S_MAX: Final = 2


@dataclass(frozen=True)
class DevOptions:
    """What the command line says; None leaves it to the configuration."""

    config: list[Path] | None = None
    env: str | None = None
    ip: str | None = None
    port: int | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    log_level: str = "info"
    inspect: bool = False
    template: Sequence[str] = TEMPLATE

    def read(self) -> Config:
        return read(self.config, cwd=Path.cwd(), env=self.env, overrides=self.vars, dev=True, environ=os.environ)


def dev(options: DevOptions) -> int:
    """Serve locally until a signal or a key; the exit status. Raises AtollError when it cannot start."""
    # First of all, for it imports the runtime while the configuration is read here.
    spawner = Spawner(options.template, stdin=options.inspect)
    spawner.start()
    try:
        return asyncio.run(_DevServer(options, options.read(), spawner).live())
    finally:
        spawner.close()


class _DevServer:
    """A supervisor of one process, and what a person at a terminal wants around it."""

    def __init__(self, options: DevOptions, config: Config, spawner: Spawner) -> None:
        self._options = options
        self._config = config
        self._settings = Settings(
            dev=True,
            log=config.observability.log or "pretty",
            level=options.log_level,
            colour=colours(),
            inspect=options.inspect,
        )
        log = open_log(self._settings.log, level=options.log_level, colour=self._settings.colour, dev=True)
        self._log = log
        self._console = Console(self._settings.log, log, colour=self._settings.colour)
        self._supervisor = Supervisor(spawner, self._settings, log)

    async def live(self) -> int:
        """Start, follow changes until asked to stop, drain."""
        ip, port = self._address(self._config)
        self._sockets = listen(ip, port)
        # Looked at before the code is loaded: what is saved meanwhile is a change.
        watch = Watch(_watched(self._config))
        stopping = Stopping()
        with heeding_signals(stopping):
            try:
                await stopping.unless_asked(self._start())
                await stopping.unless_asked(self._serve(watch, stopping))
            except Asked:
                pass
            except BaseException:
                self._supervisor.kill()
                raise
            drain_s = min(self._config.gateway.drain_s, DRAIN_S_MAX)
            return await stop(self._supervisor, stopping, self._sockets, drain_s, self._log)

    @property
    def _url(self) -> str:
        return url_of(self._address(self._config)[0], port_of(self._sockets[0]))

    async def _start(self) -> None:
        for warning in self._config.warnings:
            self._console.odd(warning)
        try:
            problems = await self._supervisor.start(Plan(self._config, self._sockets), processes=1)
        except NotServing as error:
            raise StartError(str(error)) from error
        for problem in problems:
            self._console.problem(problem)
        self._console.ready(self._url, age_ms())

    async def _serve(self, watch: Watch, stopping: Stopping) -> None:
        keys = {
            "b": self._open_browser,
            "c": self._console.clear,
            "h": self._console.hotkeys,
            "x": stopping.ask,
            "q": stopping.ask,
        }
        # Under --inspect the keyboard is the debugger's.
        with nullcontext(False) if self._options.inspect else heeding_keys(keys) as heeded:
            if heeded:
                self._console.hotkeys()
            async for changes in watch.changes():
                await self._follow(changes, watch)

    async def _follow(self, changes: Changes, watch: Watch) -> None:
        config = self._reread() if changes.files else None
        began_s = time.monotonic()
        try:
            if config is not None and config != self._config:
                watch.aim(_watched(config))
                await self._roll_over(config)
                self._console.replaced(_named(changes.files), _since_ms(began_s))
            elif changes.modules:
                problems = await self._supervisor.reload()
                for problem in problems or []:
                    self._console.problem(problem)
                if problems == []:
                    self._console.reloaded(_named(changes.modules), _since_ms(began_s))
        except AtollError as error:
            self._console.kept(error)

    def _reread(self) -> Config | None:
        try:
            config = self._options.read()
        except AtollError as error:
            self._console.kept(error)
            return None
        for warning in config.warnings:
            self._console.odd(warning)
        return config

    async def _roll_over(self, config: Config) -> None:
        moved = self._address(config) != self._address(self._config)
        sockets = listen(*self._address(config)) if moved else self._sockets
        try:
            problems = await self._supervisor.replace(Plan(config, sockets))
        except AtollError:
            if moved:
                _close(sockets)
            raise
        if moved:
            _close(self._sockets)
        self._config, self._sockets = config, sockets
        for problem in problems:
            self._console.problem(problem)
        if moved:
            self._console.told(f"Now on {self._url}")

    def _address(self, config: Config) -> tuple[str, int]:
        port = config.dev.port if self._options.port is None else self._options.port
        return self._options.ip or config.dev.ip, port

    def _open_browser(self) -> None:
        url = self._url

        def launch() -> None:
            if not webbrowser.open(url):
                self._console.told(f"No browser was found. Open {url} yourself.")

        # A launcher may block for as long as its browser is open: neither the server nor its end waits for that.
        threading.Thread(target=launch, daemon=True).start()


def _watched(config: Config) -> Watched:
    files = set(config.files)
    # A .dev.vars that does not exist yet is watched too.
    for folder in {worker.file.parent for worker in config.workers}:
        files.add(folder / ".dev.vars")
        if config.env:
            files.add(folder / f".dev.vars.{config.env}")
    return Watched(frozenset(worker.root for worker in config.workers), frozenset(files))


def _named(files: frozenset[Path]) -> str:
    here = Path.cwd()
    names = sorted(str(file.relative_to(here) if file.is_relative_to(here) else file) for file in files)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _since_ms(began_s: float) -> int:
    return round((time.monotonic() - began_s) * 1000)


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
