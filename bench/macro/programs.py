"""Programs under measurement: pinned to a core, started together, awaited, and ended whatever happens."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from bench.macro.accounting import family
from bench.peers.peer import ROOT, Missing, Peer, Place

GATEWAY_CORE: Final = 0
OTHERS_CORE: Final = 1
CONNECTIONS_MAX: Final = 256
"""Connections to the upstream: costs the peers that have a bound less than none does, and is above any one fan-out."""
_START_S: Final = 20.0
_END_S: Final = 10.0


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, beside an upstream of its own; `pids` are all of its processes."""

    peer: Peer
    version: str
    port: int
    upstream_port: int
    pids: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.peer.name


@dataclass(frozen=True)
class Site:
    """The gateways that run, and why the others do not."""

    gateways: tuple[Gateway, ...]
    skipped: dict[str, str]


@contextmanager
def running(peers: Sequence[Peer], connections_max: int = CONNECTIONS_MAX) -> Iterator[Site]:
    """Start gateways, each with its upstream; peers that do not start are left out, by name and with the reason."""
    files_max = raise_files_limit()
    gateways: list[Gateway] = []
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        for peer in peers:
            with ExitStack() as own:
                try:
                    gateways.append(_started(peer, files_max, connections_max, own))
                except Missing as reason:
                    if peer.goal is None:  # Atoll itself: without it there is nothing to compare.
                        raise
                    skipped[peer.name] = str(reason)
                else:
                    stack.push(own.pop_all())
        yield Site(tuple(gateways), skipped)


def raise_files_limit() -> int:
    """Let this process, and those that it starts, open as many files as they may; how many these are."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def on_core(core: int, command: list[str]) -> list[str]:
    """Pin a command to a core, where there are enough of them."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core]), *command] if len(cores) > 1 else command


def _started(peer: Peer, files_max: int, connections_max: int, stack: ExitStack) -> Gateway:
    version = peer.version()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atoll-bench-")))
    upstream_port, port = _free_ports(2)
    place = Place(port, upstream_port, folder, files_max, connections_max)
    command = peer.command(place)
    upstream = [sys.executable, "-m", "bench.macro.upstream", str(upstream_port)]
    stack.enter_context(_process(OTHERS_CORE, upstream, place, f"http://127.0.0.1:{upstream_port}/item/0"))
    process = stack.enter_context(_process(GATEWAY_CORE, command, place, f"http://127.0.0.1:{port}/?n=1"))
    return Gateway(peer, version, port, upstream_port, family(process.pid))


@contextmanager
def _process(core: int, command: list[str], place: Place, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program and wait until it answers; `Missing` if it does not."""
    output = place.folder / "output"
    command = on_core(core, command)
    with output.open("ab") as file:
        environ = {**os.environ, **place.environ}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=file, stderr=file, start_new_session=True)
    try:
        if not _answers(url, process):
            last_words = " ".join(output.read_text(errors="replace").split())[-300:]
            raise Missing(f"`{' '.join(command)[:200]}` does not answer at {url}; it said: {last_words or 'nothing'}")
        yield process
    finally:
        _end(process)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with urlopen(url, timeout=5) as answer:
                return bool(answer.read())
        except (URLError, OSError):
            time.sleep(0.02)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        # A group of its own: whatever it has started goes with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each another."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(sock.getsockname()[1]) for sock in sockets]
