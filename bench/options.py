"""How much is measured, and beside whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.peers.catalogue import ALL, BY_DEFAULT
from bench.peers.peer import Peer


@dataclass(frozen=True)
class Options:
    """`tiny` only proves that everything runs; `quick` gives an impression; `full` is for results that are kept."""

    scale: Literal["tiny", "quick", "full"] = "full"
    rounds_asked: int | None = None
    peers: bool = False

    @property
    def rounds(self) -> int:
        """How often everything is measured, in turns."""
        return self.rounds_asked or {"tiny": 1, "quick": 3, "full": 5}[self.scale]

    @property
    def sample_s(self) -> float:
        """How long one sample of a closed loop takes."""
        return {"tiny": 0.02, "quick": 0.3, "full": 0.6}[self.scale]

    @property
    def gateways(self) -> Sequence[Peer]:
        """Atoll, and those that it is compared with."""
        return ALL if self.peers else BY_DEFAULT
