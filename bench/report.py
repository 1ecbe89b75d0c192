"""One table for all benchmarks: medians with their spread, and the machine and versions that they hold for."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Row:
    """One thing that was measured: its samples, all in `unit`, and the goal where there is one."""

    name: str
    samples: tuple[float, ...]
    unit: str
    goal: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def text(self) -> str:
        low, high = min(self.samples), max(self.samples)
        goal = f"   goal < {self.goal:g}" if self.goal is not None else ""
        return f"{self.name:<52} {self.median:>10.1f} {self.unit:<4} ({low:.1f} to {high:.1f}){goal}"


def interleaved(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Call each in turn, round after round, so that what the machine does meanwhile falls on all alike."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            samples[name].append(run())
    return {name: tuple(found) for name, found in samples.items()}


def heading() -> str:
    """Machine, Python and libraries."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "httptools", "uvloop"))
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return f"{os.cpu_count()} × {model}; Python {sys.version.split()[0]}; {libraries}"


def show(title: str, rows: Sequence[Row]) -> None:
    """Print one table."""
    print(f"\n{title}\n{'-' * len(title)}")
    for row in rows:
        print(row.text())


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []
