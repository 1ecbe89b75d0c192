"""Every benchmark runs tiny, so that none rots; what they measure is not looked at, but that they did."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"^\| `((?:micro|macro)\.\w+)`", re.MULTILINE)


async def bench(*arguments: object) -> str:
    """What `python -m bench` writes; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench",
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def tables(folder: Path, *arguments: object) -> list[dict[str, Any]]:
    """The tables of a tiny run but for the one that says who was measured; nothing failed or was skipped."""
    file = folder / "samples.json"
    await bench("--tiny", "--json", file, *arguments)
    found = json.loads(file.read_text())
    for table in found:
        for note in table["notes"]:
            assert not re.search("failed|skipped", note, re.IGNORECASE), note
    return [table for table in found if table["title"] != "Gateways"]


def positive(row: dict[str, Any]) -> bool:
    """Whether a row has figures, and all of their samples are greater than zero."""
    figures = [cell for cell in row.values() if isinstance(cell, list)]
    return bool(figures) and all(figure and min(figure) > 0 for figure in figures)


@pytest.mark.parametrize("name", ["macro.fanout", "macro.streaming"])
async def test_gateways_are_measured_side_by_side(name: str, tmp_path: Path) -> None:
    """Atoll and aiohttp each give figures, all above zero, and the ratio of the two."""
    measured = await tables(tmp_path, name)
    assert measured
    for table in measured:
        assert [row["gateway"] for row in table["rows"]] == ["Atoll", "aiohttp by hand"]
        assert all(map(positive, table["rows"]))
        ratios = [row["Atoll's CPU / its CPU"] for row in table["rows"]]
        assert ratios[0] == ""
        assert len(ratios[1]) == 1


async def test_every_peer_is_measured_or_named(tmp_path: Path) -> None:
    """Peers that are installed are measured; of the others the report tells the names and the reason."""
    file = tmp_path / "samples.json"
    await bench("macro.streaming", "--tiny", "--peers", "--json", file)
    gateways, table = json.loads(file.read_text())
    skipped = [note.partition(" skipped: ") for note in gateways["notes"]]
    assert all(reason for _, _, reason in skipped)
    assert all(map(positive, table["rows"]))
    measured = [row["gateway"] for row in table["rows"]]
    peers = {"Atoll", "aiohttp by hand", "FastAPI + httpx", "Node + fastify + undici", "workerd", "nginx + Lua"}
    assert sorted([*measured, *(name for name, _, _ in skipped)]) == sorted(peers)


async def test_memory_is_measured(tmp_path: Path) -> None:
    """Both kinds of memory are told for both; how large so few connections show in whole pages is not asked."""
    (table,) = await tables(tmp_path, "macro.memory")
    assert [row["gateway"] for row in table["rows"]] == ["Atoll", "aiohttp by hand"]
    for row in table["rows"]:
        assert row["idle"] == row["in flight"] == "60"
        assert row["KB/invocation in flight"][0] > 0
        assert len(row["KB/idle connection"]) == 1


async def test_isolates_are_measured(tmp_path: Path) -> None:
    """The micro benchmark gives a figure for each of its workers."""
    (table,) = await tables(tmp_path, "micro.isolate")
    assert len(table["rows"]) == 3
    assert all(map(positive, table["rows"]))


async def test_the_readme_names_every_benchmark() -> None:
    """The table of bench/README.md and the command know the same benchmarks."""
    told = NAME.findall((ROOT / "bench/README.md").read_text())
    help_text = " ".join((await bench("--help")).split())
    assert f"which ones: {', '.join(told)} (default: all)" in help_text


async def test_what_limits_cost_is_measured(tmp_path: Path) -> None:
    """Atoll, the same with one graph for all, and that without limits each give figures; the last is what counts."""
    (table,) = await tables(tmp_path, "macro.limits")
    assert len(table["rows"]) == 3
    assert all(map(positive, table["rows"]))
