# SPDX-License-Identifier: Apache-2.0
"""The count of warp instructions: it finds the loops of SASS, and believes no table that differs.

The SASS here is small and made up, in the form that nvdisasm prints.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import instructions, sass
from benchmarks.frequencies import Frequencies, Lines
from benchmarks.instructions_loops import turns
from benchmarks.sass import Block, UnknownLoop, parse

SOURCE = """\
kernel begins
for (int i = rank; i < count; i += size)
  for (int j = 0; j < 4; ++j) sum += in[j];
if (rare) store(sum);
kernel ends
"""
# A loop in a loop, a division whose slow path is called, and a body that a condition guards.
SASS = """\
\t.headerflags\t@"EF_CUDA_SM90"
.text._Z6kernelv:
\t.type\t_Z6kernelv,@function
_Z6kernelv:
\t//## File "{source}", line 1
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/                   MUFU.RCP R1, R0 ;
.L_x_0:
\t//## File "{source}", line 2
        /*0020*/                   IADD3 R0, R0, 0x1, RZ ;
.L_x_1:
\t//## File "{source}", line 3
        /*0030*/                   LDG.E R2, [R4.64] ;
        /*0040*/                   FADD R1, R1, R2 ;
        /*0050*/               @P0 BRA `(.L_x_1) ;
\t//## File "{source}", line 2
        /*0060*/                   FCHK P0, R1, R2 ;
        /*0070*/              @!P0 BRA `(.L_x_2) ;
        /*0080*/                   CALL.REL.NOINC `($__internal_0_$__cuda_div_f32_slowpath) ;
.L_x_2:
        /*0090*/               @P1 BRA `(.L_x_0) ;
\t//## File "{source}", line 4
        /*00a0*/               @P2 BRA `(.L_x_3) ;
        /*00b0*/                   STG.E [R4.64], R1 ;
.L_x_3:
\t//## File "{source}", line 5
        /*00c0*/                   EXIT ;
.L_x_4:
        /*00d0*/                   BRA `(.L_x_4);
.text._Z5otherv:
_Z5otherv:
        /*0000*/                   EXIT ;
"""
OUTER, INNER = "i < count; i += size", "j < 4; ++j"

STORE = "        /*00b0*/                   STG.E [R4.64], R1 ;\n"
AGAIN = f"""{STORE}.L_x_5:
\t//## File "{{source}}", line 3
        /*00b8*/               @P3 BRA `(.L_x_5) ;
"""
TWICE = SASS.replace(STORE, AGAIN)
INTO = SASS.replace("MUFU.RCP R1, R0 ;", "BRA P3, `(.L_x_2) ;")

Make = Callable[..., tuple[list[Block], Lines]]
Table = dict[str, Any]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Return a function that gives the kernel's blocks, and lines all of which were executed."""
    source = tmp_path / "kernel.cu"
    source.write_text(SOURCE)

    def make(text: str = SASS, rare: float = 32) -> tuple[list[Block], Lines]:
        blocks = parse(text.format(source=source), ["_Z6kernelv"])["_Z6kernelv"]
        executed = {(str(source), line): 32.0 for line in range(1, 6)}
        return blocks, Lines(executed, {(str(source), 4): rare})

    return make


WHOLE = 2 + 3 * 4 + 3 * 4 * 3 + 3  # before, outer and inner loop, after
USUAL = {OUTER: 3, INNER: 4}


@pytest.mark.parametrize(
    ("trips", "branches", "options", "expected"),
    [
        (USUAL, {}, {}, WHOLE),
        # The mean of warps may be a fraction.
        ({OUTER: 0.5, INNER: 4}, {}, {}, 2 + 0.5 * (4 + 4 * 3) + 3),
        # A loop that is not needed may be missing.
        ({OUTER: [3, 0], INNER: [4, 0, 0], "k < 5": 0}, {}, {}, WHOLE),
        # A line of which more loops were made has a count for each.
        ({OUTER: 3, INNER: [4, 1]}, {}, {"text": TWICE}, WHOLE + 1),
        ({OUTER: 3, INNER: [4, 7]}, {}, {"text": TWICE}, WHOLE + 7),
        # What only a condition leads to counts as often as it held, or as the table says.
        (USUAL, {}, {"rare": 0}, WHOLE - 1),
        (USUAL, {}, {"rare": 0.5}, WHOLE - 0.5),
        (USUAL, {"if (rare)": 0.75}, {}, WHOLE - 0.25),
        (USUAL, {"if (rare)": [0.75]}, {}, WHOLE - 0.25),
    ],
)
def test_each_block_counts_as_often_as_a_warp_executes_it(
    made: Make, trips: Table, branches: Table, options: Table, expected: float
) -> None:
    assert Frequencies(*made(**options), trips, branches).instructions == expected


@pytest.mark.parametrize(
    ("trips", "branches", "text", "words"),
    [
        ({OUTER: 3}, {}, SASS, r"does not know the loop at kernel.cu:3 for \(int j = 0"),
        ({**USUAL, "k < 5": 5}, {}, SASS, "'k < 5' has 1 counts for 0 loops"),
        ({OUTER: [0, 3], INNER: 4}, {}, SASS, "has 2 counts for 1 loops"),
        (USUAL, {}, TWICE, r"'j < 4; \+\+j' has 1 counts for 2 loops"),
        (USUAL, {"if (gone)": 0.5}, SASS, r"'if \(gone\)' has 0 shares for 0 branches"),
        (USUAL, {"if (rare)": [1, 0]}, SASS, r"'if \(rare\)' has 2 shares for 1 branches"),
        (USUAL, {}, INTO, "jumps into the middle of a loop"),
    ],
)
def test_a_table_that_differs_from_the_code_is_an_error(
    made: Make, trips: Table, branches: Table, text: str, words: str
) -> None:
    with pytest.raises(UnknownLoop, match=words):
        Frequencies(*made(text), trips, branches)


def test_lines_that_were_not_executed_do_not_count(made: Make) -> None:
    blocks, lines = made()
    ran = {frame: 0.0 if frame[1] == 3 else n for frame, n in lines.executed.items()}
    blocks[1].successors.append(3)  # a way around the inner loop
    found = Frequencies(blocks, Lines(ran, lines.held), {OUTER: 3}, {})
    assert found.instructions == 2 + 3 * 4 + 3


def test_a_loop_tested_before_its_body_is_tested_once_more(made: Make) -> None:
    first = """\
.text._Z6kernelv:
\t//## File "{source}", line 2
.L_x_0:
        /*0000*/                   ISETP.GE.AND P0, PT, R0, R1, PT ;
        /*0010*/               @P0 BRA `(.L_x_1) ;
        /*0020*/                   FADD R2, R2, R2 ;
        /*0030*/                   BRA `(.L_x_0) ;
.L_x_1:
        /*0040*/                   EXIT ;
"""
    assert Frequencies(*made(first), {OUTER: 5}, {}).instructions == 6 * 2 + 5 * 2 + 1


def test_branches_without_a_predicate_before_them_may_be_conditional(made: Make) -> None:
    blocks, _ = made(SASS.replace("@P0 BRA `(.L_x_1)", "BRA.U UP0, `(.L_x_1)"))
    inner = next(b for b in blocks if b.instructions[0].opcode == "LDG.E")
    assert len(inner.successors) == 2
    assert inner.instructions[0].frames[0][1] == 3


def test_turns_are_the_mean_of_the_warps() -> None:
    assert turns(64, 64) == 1
    assert turns(64, 96) == pytest.approx(2 / 3)
    assert turns(75, 32) == 3
    assert turns(704, 384) == pytest.approx((10 * 2 + 2 * 1) / 12)


def test_a_missing_tool_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["instructions.py"])
    present = {"nvcc": None, "nvdisasm": None}
    monkeypatch.setattr(instructions.shutil, "which", lambda tool: present.get(tool, tool))
    with pytest.raises(SystemExit, match=r"^instructions: not found: nvcc, nvdisasm \(pip install"):
        instructions.main()


def test_only_the_kernels_asked_for_are_taken_apart() -> None:
    text = SASS.format(source="kernel.cu")
    assert sass.names(text) == ["_Z6kernelv", "_Z5otherv"]
    assert list(parse(text, ["_Z5otherv"])) == ["_Z5otherv"]
