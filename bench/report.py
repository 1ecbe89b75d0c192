"""Tables of what was measured: medians with their spread, and the machine and versions that they hold for."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

RESULTS: Final = Path(__file__).parent / "results"

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Figure:
    """One cell of a table: its samples, and the goal that their median should not exceed, where there is one."""

    samples: tuple[float, ...]
    goal: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def text(self) -> str:
        """The median, the spread when there is more than one sample, and the goal."""
        spread = f" ({_number(min(self.samples))}–{_number(max(self.samples))})" if len(self.samples) > 1 else ""
        goal = f", goal {self.goal:g}" if self.goal is not None else ""
        return f"{_number(self.median)}{spread}{goal}"


@dataclass(frozen=True)
class Table:
    """A title, columns and rows; the first cell of each row names it. `notes` are sentences below the table."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str | Figure, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as text, its columns aligned."""
        cells = [self.columns, *(tuple(map(_text, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        to_right = [any(isinstance(row[column], Figure) for row in self.rows) for column in range(len(widths))]
        lines = [_line(row, widths, to_right) for row in cells]
        rules = ("-" * (width + 1) + ":-"[not right] for width, right in zip(widths, to_right, strict=True))
        lines.insert(1, f"|{'|'.join(rules)}|")
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"## {self.title}\n", *lines, *notes])


def interleaved(runs: dict[str, Callable[[], Measured]], rounds: dict[str, int]) -> dict[str, tuple[Measured, ...]]:
    """Call each in turn, round after round, so that what the machine does meanwhile falls on all alike.

    Every round begins with another one, so that none always follows the same.
    """
    samples: dict[str, list[Measured]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(max(rounds.values(), default=0)):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if number < rounds[name]:
                samples[name].append(runs[name]())
    return {name: tuple(found) for name, found in samples.items()}


def heading() -> str:
    """What the figures hold for: the day, the machine, its load, and the command."""
    model = _after("model name", "/proc/cpuinfo")
    memory_mb = int(_after("MemTotal", "/proc/meminfo").split()[0]) // 1024
    return "\n".join(
        (
            f"- day: {date.today().isoformat()}",
            f"- machine: {os.cpu_count()} × {model}, {memory_mb:,} MB, {platform.system()} {platform.release()}",
            f"- load average at the start: {os.getloadavg()[0]:.2f}",
            f"- command: `python -m bench {' '.join(sys.argv[1:])}`",
        )
    )


def save(name: str, text: str) -> Path:
    """Write a report to `bench/results/<day>-<name>.md`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{date.today().isoformat()}-{name}.md"
    path.write_text(text)
    return path


def as_json(tables: Sequence[Table]) -> str:
    """Every sample of every figure, for programs."""
    return json.dumps(
        [
            {
                "title": table.title,
                "notes": table.notes,
                "rows": [
                    {
                        column: list(cell.samples) if isinstance(cell, Figure) else cell
                        for column, cell in zip(table.columns, row, strict=True)
                    }
                    for row in table.rows
                ],
            }
            for table in tables
        ],
        indent=1,
    )


def _number(value: float) -> str:
    """Three digits that count, and no more than that."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"


def _text(cell: str | Figure) -> str:
    return cell.text() if isinstance(cell, Figure) else cell


def _line(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, to_right, strict=True)
    )
    return f"| {' | '.join(aligned)} |"


def _after(name: str, path: str) -> str:
    """What a file of the system says behind a name."""
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")
