"""`atoll serve`: the gateway in production. Processes as many as configured, a log for machines, no watching."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atoll.config import Config, read
from atoll.errors import StartError
from atoll.observe.log import LogFormat, open_log
from atoll.serve.age import age_ms
from atoll.serve.channel import Problem, Settings
from atoll.serve.child import NotServing
from atoll.serve.colour import colours
from atoll.serve.problems import described
from atoll.serve.sockets import listen, port_of, url_of
from atoll.serve.spawner import TEMPLATE, Spawner
from atoll.serve.stopping import Asked, Stopping, heeding_signals, stop
from atoll.serve.supervisor import Plan, Supervisor


@dataclass(frozen=True)
class ServeOptions:
    """What the command line says; None leaves it to the configuration."""

    config: list[Path] | None = None
    env: str | None = None
    ip: str | None = None
    port: int | None = None
    processes: int | None = None
    secrets_file: Path | None = None
    log: LogFormat | None = None
    log_level: str = "info"
    template: Sequence[str] = TEMPLATE


def serve(options: ServeOptions) -> int:
    """Serve until a signal; the exit status. Raises AtollError when it cannot start."""
    # First of all, for it imports the runtime while the configuration is read here.
    spawner = Spawner(options.template)
    spawner.start()
    try:
        config = read(
            options.config, cwd=Path.cwd(), env=options.env, environ=os.environ, secrets_file=options.secrets_file
        )
        return asyncio.run(_serve(options, config, spawner))
    finally:
        spawner.close()


async def _serve(options: ServeOptions, config: Config, spawner: Spawner) -> int:
    gateway = config.gateway
    ip = options.ip or gateway.ip
    sockets = listen(ip, gateway.port if options.port is None else options.port)
    processes = options.processes or gateway.processes
    settings = Settings(
        dev=False,
        log=options.log or config.observability.log or "json",
        level=options.log_level,
        colour=colours(),
    )
    log = open_log(settings.log, level=settings.level, colour=settings.colour, dev=False)
    for warning in config.warnings:
        log.warned("configuration_odd", warning=warning)
    supervisor = Supervisor(spawner, settings, log)
    stopping = Stopping()
    with heeding_signals(stopping):
        try:
            await stopping.unless_asked(_start(supervisor, Plan(config, sockets), processes))
            url = url_of(ip, port_of(sockets[0]))
            log.told("gateway_ready", url=url, processes=processes, startup_ms=age_ms())
            await stopping.asked.wait()
        except Asked:
            pass
        except BaseException:
            supervisor.kill()
            raise
        status = await stop(supervisor, stopping, sockets, gateway.drain_s, log)
        log.told("gateway_stopped", status=status)
        return status


async def _start(supervisor: Supervisor, plan: Plan, processes: int) -> list[Problem]:
    try:
        return await supervisor.start(plan, processes)
    except NotServing as error:
        raise StartError("\n\n".join(described(problem) for problem in error.problems) or str(error)) from error
