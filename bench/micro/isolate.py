"""What a fresh module graph costs an invocation at saturation, in µs of CPU."""

import gc
import tempfile
import time
from functools import partial
from pathlib import Path

from atoll.kernel import memo
from atoll.kernel.isolate import Stage
from atoll.kernel.loader import Script, load
from atoll.limits import Limits
from atoll.workers.faces import AuthorsFaces
from bench.options import Options
from bench.report import Figure, Table, interleaved

_HANDLER = Path(__file__).with_name("handler_60_lines.py")
_DATACLASS = """

from dataclasses import dataclass

@dataclass
class Item:
    name: str
    price: float
    tags: list[str]
    stock: int = 0
    note: str | None = None
"""


def run(options: Options) -> list[Table]:
    """Measure a 60-line handler, the same with a dataclass, and the same with a sibling module."""
    count = 5 if options.scale == "tiny" else 500
    plain = _HANDLER.read_text()
    stage = Stage()
    stage.install()
    memo.install()
    try:
        with tempfile.TemporaryDirectory() as folder:
            scripts = {
                "handler of 60 lines": (_script(Path(folder, "a"), stage, plain, {}), 100.0),
                "handler with one dataclass": (_script(Path(folder, "b"), stage, plain + _DATACLASS, {}), 300.0),
                "handler of two files": (
                    _script(Path(folder, "c"), stage, plain + "\nimport sibling\n", {"sibling.py": "STATE = {}\n"}),
                    None,
                ),
            }
            samples = interleaved(
                {name: partial(_cost_us, script, count) for name, (script, _) in scripts.items()},
                dict.fromkeys(scripts, options.rounds),
            )
        rows = [(name, Figure(samples[name], goal)) for name, (_, goal) in scripts.items()]
        return [Table("A fresh isolate", ("worker", "CPU µs"), rows)]
    finally:
        memo.uninstall()
        stage.uninstall()


def _script(folder: Path, stage: Stage, source: str, others: dict[str, str]) -> Script:
    folder.mkdir()
    for name, text in {"entry.py": source, **others}.items():
        (folder / name).write_text(text)
    return load("bench", folder / "entry.py", folder, "request", Limits(), stage, AuthorsFaces())


def _cost_us(script: Script, count: int) -> float:
    gc.collect()
    gc.disable()
    started_ns = time.process_time_ns()
    for _ in range(count):
        script.prepare()
    spent_ns = time.process_time_ns() - started_ns
    gc.enable()
    return spent_ns / count / 1000
