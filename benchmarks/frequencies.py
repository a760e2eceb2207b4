# SPDX-License-Identifier: Apache-2.0
"""How often a warp executes each basic block of a kernel.

Which blocks a warp enters is what the emulated run's counters of source lines say; how often it
goes round the loops it enters, a table says, which has to fit. Somewhat high: of a branch both ways
count once a pass if both were taken, and of the rest of an unrolled loop every step.
"""

import linecache
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_high

from benchmarks.sass import Block, Frame, Graph, Loop, UnknownLoop

# Of `if (...) return;` what follows would look like the body.
_BODY_ON_LINE = re.compile(r"if \((?!.*\b(return|break|continue)\b)")

WARP = 32
# By a part of the text of a loop's or condition's line: of all of them, or of each in order.
Trips = Mapping[str, float | Sequence[float]]


def text_of(frame: Frame) -> str:
    """Return a line of source."""
    return linecache.getline(*frame).strip()


@dataclass(frozen=True)
class Lines:
    """How often a warp's lanes, all together, came past the lines of the source.

    `held` has the lines with one condition: how often it held.
    """

    executed: Mapping[Frame, float]
    held: Mapping[Frame, float]


class Frequencies:
    """The blocks of a kernel, and how often a warp executes each: `of[block]`.

    Raises UnknownLoop where `trips` and the loops do not fit.
    """

    def __init__(self, blocks: list[Block], lines: Lines, trips: Trips, passed: Trips) -> None:
        self.blocks, self.lines, self.trips, self.passed = blocks, lines, trips, passed
        self.share = {i: self._share(block) for i, block in enumerate(blocks)}
        self._skip_bodies()
        while self._revive_next():
            pass
        self.graph = self._entered()
        times = self._times()
        self._leave_out([loop for loop in self.graph.loops if times[loop.header] == 0])
        self.of = {block: self.share[block] for block in self.graph.order}
        for loop in self.graph.loops:
            for block in loop.blocks:
                again = block in self._before_exit(loop)
                self.of[block] *= times[loop.header] + again

    @cached_property
    def instructions(self) -> float:
        """Return the instructions that a warp executes."""
        return sum(times * len(self.blocks[block].instructions) for block, times in self.of.items())

    @property
    def uncounted(self) -> list[Frame]:
        """Return lines of the SASS that warps come past, none of whose instructions is counted."""
        lines: dict[Frame, bool] = {}
        for i, block in enumerate(self.blocks):
            for frame in (f for instruction in block.instructions for f in instruction.frames[:1]):
                lines[frame] = lines.get(frame, False) or i in self.of
        return sorted(f for f, of in lines.items() if not of and self.lines.executed.get(f, 0) >= 1)

    def _share(self, block: Block) -> float:
        """Return the share of the warps that enter a block; 0 where nothing says they do."""
        if block.slow_path:
            return 0
        shares = []
        for instruction in block.instructions:
            known = [self.lines.executed[f] for f in instruction.frames if f in self.lines.executed]
            if known:
                shares.append(min(1.0, *known))
        share = median_high(shares) if shares else 1.0
        return share if share >= 0.01 else 0  # the host comes past some lines too

    def _entered(self) -> Graph:
        return Graph(self.blocks, [i for i, share in self.share.items() if share == 0])

    def _revive_next(self) -> bool:
        """Mend one dead end: where ways join again, a block may have the source line of one.

        Returns whether there was one.
        """
        graph, full = self._entered(), Graph(self.blocks)
        for block in graph.order:
            ways = self.blocks[block].successors
            if ways and not graph.successors[block]:
                around = [
                    way
                    for way in ways
                    if all(way in full.reachable(other, without=block) for other in ways)
                ]
                if not around:
                    line = " < ".join(map(text_of, self.blocks[block].instructions[-1].frames))
                    raise UnknownLoop(f"no line was executed on either way from {line}")
                self.share[around[0]] = self.share[block]
                return True
            if len(graph.successors[block]) == 1:
                (way,) = graph.successors[block]
                if self.share[way] < self.share[block]:
                    self.share[way] = self.share[block]
                    return True
        return False

    def _skip_bodies(self) -> None:
        """Leave out the bodies of conditions that never hold, or hold in some warps alone."""
        graph = self._entered()
        by_key: dict[str, list[int]] = {key: [] for key in self.passed}
        for block in sorted(graph.order):
            last = self.blocks[block].instructions[-1]
            if len(graph.successors[block]) != 2 or not last.frames:
                continue
            text = text_of(last.frames[0])
            body = body_of(graph, block)
            if body is None:
                continue
            if said := [key for key in self.passed if key in text]:
                by_key[said[0]].append(body)
            elif _BODY_ON_LINE.match(text):
                self._skip_body(graph, body, self.lines.held.get(last.frames[0], 1.0))
        for key, bodies in by_key.items():
            given = self.passed[key]
            shares = list(given) if isinstance(given, Sequence) else [given] * len(bodies)
            if not bodies or len(shares) != len(bodies):
                raise UnknownLoop(f"{key!r} has {len(shares)} shares for {len(bodies)} branches")
            for body, share in zip(bodies, shares, strict=True):
                self._skip_body(graph, body, share)

    def _skip_body(self, graph: Graph, body: int, held: float) -> None:
        for inside in graph.order:
            if body in graph.dominators[inside]:
                self.share[inside] = min(self.share[inside], held)

    def _leave_out(self, loops: list[Loop]) -> None:
        """Leave out loops that are not gone round, and the blocks that only lead to them."""
        if not loops:
            return
        for block in {block for loop in loops for block in loop.blocks}:
            self.share[block] = 0
        for block in reversed(self.graph.order):
            ways = self.graph.successors[block]
            if ways and all(self.share[way] == 0 for way in ways):
                self.share[block] = 0
        self.graph = self._entered()

    def _before_exit(self, loop: Loop) -> set[int]:
        """Return the blocks of a loop that a warp executes once more, on its way out.

        Only a loop that tests before its body has such: one whose way back has no condition.
        """
        (latch, *others) = loop.latches
        if others or len(self.graph.successors[latch]) > 1:
            return set()
        outward = [b for b in loop.blocks if set(self.graph.successors[b]) - loop.blocks]
        dominators = self.graph.dominators
        first = min(outward, key=lambda block: len(dominators[block]), default=None)
        if first is None:
            raise UnknownLoop(f"an endless loop at {self.where(loop)}")
        return dominators[first] & loop.blocks

    def lines_of(self, loop: Loop) -> list[Frame]:
        """Return the lines of source that a loop's jump back belongs to, the innermost first."""
        return [f for b in loop.latches for f in self.blocks[b].instructions[-1].frames]

    def where(self, loop: Loop) -> str:
        """Return where the source has a loop, and what may tell how often it is gone round."""
        frames = self.lines_of(loop)
        calls = " < ".join(f"{f[0].rpartition('/')[2]}:{f[1]} {text_of(f)}" for f in frames)
        size = sum(len(self.blocks[block].instructions) for block in loop.blocks)
        often = self.lines.executed.get(frames[0], 0) / WARP if frames else 0
        return f"{calls} ({size} instructions; a lane comes past that line {often:.3g} times)"

    def _times(self) -> dict[int, float]:
        """Return how often a warp goes through each loop whenever it comes to it, by its header."""
        by_key: dict[str, list[Loop]] = {key: [] for key in self.trips}
        unknown = []
        for loop in self.graph.loops:
            texts = [text_of(frame) for frame in self.lines_of(loop)]
            keys = [key for text in texts for key in self.trips if key in text]
            if keys:
                by_key[keys[0]].append(loop)
            else:
                unknown.append(self.where(loop))
        problems = [f"the table does not know the loop at {place}" for place in unknown]
        times = {}
        for key, loops in by_key.items():
            trips = self.trips[key]
            values = list(trips) if isinstance(trips, Sequence) else [trips]
            while len(values) > len(loops) and values[-1] == 0:  # not made by every compilation
                values.pop()
            if len(values) != len(loops):
                places = "".join(f"\n    {self.where(loop)}" for loop in loops)
                problems.append(f"{key!r} has {len(values)} counts for {len(loops)} loops{places}")
            times.update({loop.header: v for loop, v in zip(loops, values, strict=False)})
        if problems:
            raise UnknownLoop("\n".join(problems))
        return times


def body_of(graph: Graph, block: int) -> int | None:
    """Return the block that only a condition's holding leads to, if its other way is around it."""
    left, right = graph.successors[block]
    for body, around in ((left, right), (right, left)):
        alone = graph.predecessors[body] == [block]
        if alone and around in graph.reachable(body, without=block):
            return body
    return None
