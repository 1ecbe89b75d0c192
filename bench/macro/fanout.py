"""CPU per request of a gateway that fans out to small JSON upstreams, beside the same written by hand with aiohttp.

Each gateway runs in one process on one core, with access logs off; upstream and load share another core. Every answer
is checked. The gateways take turns, round after round; CPU is user and system time from the operating system.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

from bench.report import Row, interleaved

TITLE = "Fan-out, µs of gateway CPU per request"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs: its port, and the processes whose CPU counts."""

    port: int
    pids: tuple[int, ...]

    def cpu_ns(self) -> int:
        """CPU time that its threads have used."""
        return sum(
            int(Path(task, "schedstat").read_text().split()[0])
            for pid in self.pids
            for task in Path(f"/proc/{pid}/task").iterdir()
        )


def run(tiny: bool = False) -> list[Row]:
    """Measure fan-out 0, 1, 10 and 50 at 32 connections, and the ratio to aiohttp's."""
    rounds, counts = (1, {0: 40, 2: 20}) if tiny else (7, {0: 6000, 1: 5000, 10: 1500, 50: 400})
    rows: list[Row] = []
    with ExitStack() as stack:
        upstream = stack.enter_context(_program("bench.macro.upstream", core=1))
        gateways = {
            "atoll": stack.enter_context(_atoll(upstream)),
            "aiohttp by hand": stack.enter_context(_aiohttp(upstream)),
        }
        for fan_out, count in counts.items():
            for gateway in gateways.values():
                _load(gateway, count // 2, fan_out)
            samples = interleaved(
                {name: partial(_cpu_us, gateway, count, fan_out) for name, gateway in gateways.items()}, rounds
            )
            rows += [Row(f"fan-out {fan_out:>2}, {name}", found, "µs") for name, found in samples.items()]
            ratios = tuple(a / b for a, b in zip(samples["atoll"], samples["aiohttp by hand"], strict=True))
            rows.append(
                Row(f"fan-out {fan_out:>2}, atoll / aiohttp by hand", ratios, "", 0.45 if fan_out == 10 else None)
            )
    return rows


def _cpu_us(gateway: Gateway, count: int, fan_out: int) -> float:
    before = gateway.cpu_ns()
    _load(gateway, count, fan_out)
    return (gateway.cpu_ns() - before) / count / 1000


def _load(gateway: Gateway, count: int, fan_out: int) -> None:
    command = [sys.executable, "-m", "bench.macro.load", str(gateway.port), "32", str(count), str(fan_out)]
    subprocess.run(_on_core(1, command), cwd=_ROOT, check=True, stdout=subprocess.DEVNULL, timeout=120)


@contextmanager
def _aiohttp(upstream: Gateway) -> Iterator[Gateway]:
    with _program("bench.peers.aiohttp_gateway", f"http://127.0.0.1:{upstream.port}", core=0) as gateway:
        yield gateway


@contextmanager
def _atoll(upstream: Gateway) -> Iterator[Gateway]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wrangler-like.toml").write_text(
            f'name = "bench"\nmain = "{Path(__file__).with_name("worker.py")}"\n'
            f'vars = {{ UPSTREAM = "http://127.0.0.1:{upstream.port}" }}\n'
        )
        command = [sys.executable, "-m", "atoll", "serve", "--ip", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(
            _on_core(0, [*command, "--processes", "1", "--log", "off"]), cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            _await_port(port)
            with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:  # Only a forked process answers.
                answer.read()
            yield Gateway(port, (_descendants(process.pid)[-1],))
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def _program(module: str, *arguments: str, core: int) -> Iterator[Gateway]:
    port = _free_port()
    command = _on_core(core, [sys.executable, "-m", module, str(port), *arguments])
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
    try:
        _await_port(port)
        yield Gateway(port, (process.pid,))
    finally:
        process.terminate()
        process.wait(10)


def _on_core(core: int, command: list[str]) -> list[str]:
    """Pin to a core where there are enough of them."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core]), *command] if len(cores) > 1 else command


def _descendants(pid: int) -> list[int]:
    """The children of a process, and theirs, in the order of their generations."""
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        found += [int(child) for child in children]
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _await_port(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")
