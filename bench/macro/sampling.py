"""Samples of running gateways: a load for each, in turns, and what came of those that fail."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.macro.programs import OTHERS_CORE, Gateway, Site, on_core
from bench.peers.catalogue import ATOLL
from bench.peers.peer import ROOT
from bench.report import Figure, Table, interleaved

_LOAD_S_MAX: Final = 120
_SLOW_S: Final = 4.0
_SLOW_ROUNDS: Final = 2


class LoadFailed(Exception):
    """A gateway that did not stand a load, or answered wrongly."""


@dataclass(frozen=True)
class Sample:
    """What one load of one gateway found; `cpu_s` is that of all its processes."""

    count: int
    wall_s: float
    cpu_s: float
    p50_ms: float
    p99_ms: float
    first_byte_ms: float


@dataclass(frozen=True)
class Load:
    """What is asked of a gateway; see `bench.macro.load`."""

    seconds: float
    connections: int = 1
    fan_out: int = 0
    bytes: int = 0

    def sample(self, gateway: Gateway) -> Sample:
        """Put it on a gateway; `LoadFailed`."""
        arguments = {
            "port": gateway.port,
            "pids": ",".join(map(str, gateway.pids)),
            "connections": self.connections,
            "seconds": self.seconds,
            # Enough to open connections on both sides.
            "warm-seconds": self.seconds / 4,
            "fan-out": self.fan_out,
            "bytes": self.bytes,
        }
        command = [
            sys.executable,
            "-m",
            "bench.macro.load",
            *(f"--{name}={value}" for name, value in arguments.items()),
        ]
        try:
            ended = subprocess.run(
                on_core(OTHERS_CORE, command), cwd=ROOT, capture_output=True, text=True, timeout=_LOAD_S_MAX
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"a load of {self} took more than {_LOAD_S_MAX} s") from error
        if ended.returncode:
            raise LoadFailed(ended.stderr.strip().rpartition("\n")[2][:400])
        return Sample(**json.loads(ended.stdout))


@dataclass(frozen=True)
class Samples:
    """The samples of one load on all gateways, in turns; those of Atoll are always there."""

    of: dict[str, tuple[Sample, ...]]
    goals: dict[str, float | None]

    def ratio(self, name: str, *, with_goal: bool) -> Figure | str:
        """The CPU time of a request in Atoll, as a share of another's, round by round."""
        if name == ATOLL.name:
            return ""
        # A slow one has fewer rounds.
        pairs = zip(self.of[ATOLL.name], self.of[name], strict=False)
        shares = tuple((ours.cpu_s / ours.count) / (theirs.cpu_s / theirs.count) for ours, theirs in pairs)
        return Figure(shares, self.goals[name] if with_goal else None)


def take(load: Load, site: Site, rounds: int, table: Table) -> Samples:
    """Sample every gateway; a peer that fails is left out and named in the notes of the table, Atoll may not fail.

    The first sample of each is not counted: compilers that compile while they run have done so by then. Where it
    takes long, few rounds follow.
    """

    def sample(gateway: Gateway) -> Sample | None:
        try:
            return load.sample(gateway)
        except LoadFailed as reason:
            if gateway.name == ATOLL.name:
                raise
            table.notes.append(f"{gateway.name} failed ({load}): {reason}")
            return None

    firsts = {gateway: found for gateway in site.gateways if (found := sample(gateway)) is not None}
    found = interleaved(
        {gateway.name: partial(sample, gateway) for gateway in firsts},
        {
            gateway.name: rounds if first.wall_s < _SLOW_S else min(rounds, _SLOW_ROUNDS)
            for gateway, first in firsts.items()
        },
    )
    return Samples(
        {name: tuple(filter(None, samples)) for name, samples in found.items() if None not in samples},
        {gateway.name: gateway.peer.goal for gateway in site.gateways},
    )


def gateways_table(site: Site) -> Table:
    """Who was measured, in which versions, and who was not and why."""
    table = Table("Gateways", ("gateway", "versions"))
    table.rows.extend((gateway.name, gateway.version) for gateway in site.gateways)
    table.notes.extend(f"{name} skipped: {reason}" for name, reason in site.skipped.items())
    return table
