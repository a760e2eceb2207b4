# SPDX-License-Identifier: Apache-2.0
"""SASS, as `nvdisasm -c -gi` prints it: its basic blocks, their source lines and their loops."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

Frame = tuple[str, int]  # source file, line

_FRAME = re.compile(r'//## File "([^"]+)", line (\d+)')
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_LABEL = re.compile(r"^(\S+):$")
_LEAVES = ("EXIT", "RET", "BPT")  # and, without a condition, does not come back


class UnknownLoop(Exception):
    """The table of trip counts and the loops of the SASS do not fit each other."""


@dataclass(frozen=True)
class Instruction:
    """One instruction; `frames` are its source line and, outward, the calls inlined around it."""

    opcode: str
    operands: str
    conditional: bool
    frames: tuple[Frame, ...]

    @property
    def targets(self) -> list[str]:
        """Return the labels that this instruction can jump to."""
        if not self.opcode.startswith(("BRA", "BRX")):
            return []
        found = re.findall(r"\.L_x_\w+", self.operands)
        return list(dict.fromkeys(found))

    @property
    def falls_through(self) -> bool:
        """Return whether the next instruction can follow: a condition may also be an operand."""
        if self.opcode.startswith("BRA"):
            return self.conditional or not self.operands.startswith("`")
        return self.conditional or not self.opcode.startswith(("BRX", *_LEAVES))


@dataclass
class Block:
    """Instructions that are executed one after the other, and the blocks that can follow."""

    instructions: list[Instruction] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)  # those jumped to, then the next in line

    @property
    def slow_path(self) -> bool:
        """Return whether the block is only for values that ordinary arithmetic does not serve."""
        return any(i.opcode.startswith("CALL") and "slowpath" in i.operands
                   for i in self.instructions)  # fmt: skip


@dataclass(frozen=True)
class Loop:
    """A natural loop: its header, the blocks that jump back to it, and all its blocks."""

    header: int
    latches: tuple[int, ...]
    blocks: frozenset[int]


class Graph:
    """The blocks of a kernel that can be reached without entering those in `dead`."""

    def __init__(self, blocks: list[Block], dead: Iterable[int] = ()) -> None:
        closed = set(dead)
        self.successors: dict[int, list[int]] = {}
        self.order: list[int] = []  # reverse postorder
        stack = [(0, False)]
        while stack:
            block, left = stack.pop()
            if left:
                self.order.insert(0, block)
            elif block not in self.successors:
                self.successors[block] = [s for s in blocks[block].successors if s not in closed]
                stack.append((block, True))
                stack += [(s, False) for s in self.successors[block]]

    @cached_property
    def predecessors(self) -> dict[int, list[int]]:
        """Return the blocks from which each can be entered."""
        found: dict[int, list[int]] = {block: [] for block in self.order}
        for block in self.order:
            for successor in self.successors[block]:
                found[successor].append(block)
        return found

    @cached_property
    def dominators(self) -> dict[int, set[int]]:
        """Return the blocks that every way from the entry to each block passes, itself included."""
        found = {block: set(self.order) for block in self.order}
        found[self.order[0]] = {self.order[0]}
        changed = True
        while changed:
            changed = False
            for block in self.order[1:]:
                ways = [found[p] for p in self.predecessors[block]]
                new = set.intersection(*ways) | {block}
                changed = changed or new != found[block]
                found[block] = new
        return found

    def reachable(self, start: int, without: int) -> set[int]:
        """Return the blocks that can follow `start`, itself included, on ways around `without`."""
        found, stack = {start}, [start]
        while stack:
            for successor in self.successors[stack.pop()]:
                if successor not in found and successor != without:
                    found.add(successor)
                    stack.append(successor)
        return found

    @cached_property
    def loops(self) -> list[Loop]:
        """Return the loops in the order of the code; an irreducible one is an error."""
        latches: dict[int, list[int]] = {}
        place = {block: i for i, block in enumerate(self.order)}
        for block in self.order:
            for successor in self.successors[block]:
                if successor in self.dominators[block]:
                    latches.setdefault(successor, []).append(block)
                elif place[successor] <= place[block]:
                    raise UnknownLoop(f"block {block} jumps into the middle of a loop")
        loops = []
        for header, ends in sorted(latches.items()):
            blocks, stack = {header}, list(ends)
            while stack:
                block = stack.pop()
                if block not in blocks:
                    blocks.add(block)
                    stack += self.predecessors[block]
            loops.append(Loop(header, tuple(ends), frozenset(blocks)))
        return loops


def parse(text: str, wanted: Container[str]) -> dict[str, list[Block]]:
    """Return the basic blocks of the `wanted` kernels, by their mangled names."""
    _, *sections = re.split(r"^\.text\.(\S+):$", text, flags=re.MULTILINE)
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {name: _blocks(body.splitlines()) for name, body in pairs if name in wanted}


def names(text: str) -> list[str]:
    """Return the mangled names of the kernels."""
    return re.findall(r"^\.text\.(\S+):$", text, flags=re.MULTILINE)


@cache
def _plain(path: str) -> str:
    return str(Path(path).resolve())


def _blocks(lines: list[str]) -> list[Block]:
    blocks = [Block()]
    labels: dict[str, int] = {}
    frames: list[Frame] = []
    complete = False  # the next line of source begins new frames
    for line in lines:
        if match := _FRAME.search(line):
            if complete:
                frames, complete = [], False
            frames.append((_plain(match.group(1)), int(match.group(2))))
        elif match := _INSTRUCTION.match(line):
            predicate, opcode, operands = match.groups()
            complete = True
            made = Instruction(opcode, operands, bool(predicate), tuple(frames))
            blocks[-1].instructions.append(made)
            if opcode.startswith(("BRA", "BRX", "CALL", *_LEAVES)):
                blocks.append(Block())
        elif match := _LABEL.match(line):
            if blocks[-1].instructions:
                blocks.append(Block())
            labels[match.group(1)] = len(blocks) - 1
    if not blocks[-1].instructions:
        blocks.pop()
    for i, block in enumerate(blocks):
        last = block.instructions[-1]
        if last.opcode != "BRA.DIV":  # whose lanes are together
            block.successors = [labels[target] for target in last.targets]
        if last.falls_through and i + 1 < len(blocks) and i + 1 not in block.successors:
            block.successors.append(i + 1)
    return blocks
