# SPDX-License-Identifier: Apache-2.0
"""The count of warp instructions: it finds the loops of SASS, and believes no table that differs.

The SASS here is small and made up, in the form that nvdisasm prints.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import instructions, sass
from benchmarks.frequencies import Frequencies, Lines
from benchmarks.instructions_cases import CASES
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

Make = Callable[..., tuple[list[Block], Lines]]


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


def test_each_block_counts_as_often_as_a_warp_executes_it(made: Make) -> None:
    blocks, lines = made()
    found = Frequencies(blocks, lines, {OUTER: 3, INNER: 4}, {})
    before, outer, inner, after = 2, 1 + 2 + 1, 3, 1 + 1 + 1
    assert found.instructions == before + 3 * outer + 3 * 4 * inner + after


def test_the_mean_of_warps_may_be_a_fraction(made: Make) -> None:
    blocks, lines = made()
    half, one = (Frequencies(blocks, lines, {OUTER: n, INNER: 4}, {}) for n in (0.5, 1))
    assert one.instructions - half.instructions == 0.5 * (4 + 4 * 3)


def test_a_back_edge_that_the_table_does_not_know_is_an_error(made: Make) -> None:
    with pytest.raises(UnknownLoop, match=r"does not know the loop at kernel.cu:3 for \(int j = 0"):
        Frequencies(*made(), {OUTER: 3}, {})


def test_an_entry_of_the_table_without_a_loop_is_an_error(made: Make) -> None:
    with pytest.raises(UnknownLoop, match="'k < 5' has 1 counts for 0 loops"):
        Frequencies(*made(), {OUTER: 3, INNER: 4, "k < 5": 5}, {})


def test_a_loop_that_is_not_needed_may_be_missing(made: Make) -> None:
    counts = ({OUTER: 3, INNER: 4}, {OUTER: [3, 0], INNER: [4, 0, 0], "k < 5": 0})
    plain, more = (Frequencies(*made(), trips, {}).instructions for trips in counts)
    assert plain == more
    with pytest.raises(UnknownLoop, match="has 2 counts for 1 loops"):
        Frequencies(*made(), {OUTER: [0, 3], INNER: 4}, {})


def test_a_line_of_which_more_loops_were_made_is_an_error(made: Make) -> None:
    again = """        /*00b0*/                   STG.E [R4.64], R1 ;
.L_x_5:
\t//## File "{source}", line 3
        /*00b8*/               @P3 BRA `(.L_x_5) ;
"""
    twice = SASS.replace("        /*00b0*/                   STG.E [R4.64], R1 ;\n", again)
    with pytest.raises(UnknownLoop, match=r"'j < 4; \+\+j' has 1 counts for 2 loops"):
        Frequencies(*made(twice), {OUTER: 3, INNER: 4}, {})
    counts = (Frequencies(*made(twice), {OUTER: 3, INNER: [4, n]}, {}) for n in (0, 1, 7))
    unneeded, once, often = (found.instructions for found in counts)
    assert often - once == 6
    assert once > unneeded


def test_what_only_a_condition_that_never_holds_leads_to_does_not_count(made: Make) -> None:
    trips = {OUTER: 3, INNER: 4}
    always, never, half = (
        Frequencies(*made(rare=held), trips, {}).instructions for held in (32, 0, 0.5)
    )
    assert always - never == 1
    assert always - half == 0.5


def test_the_table_can_say_how_often_a_condition_lets_pass(made: Make) -> None:
    trips = {OUTER: 3, INNER: 4}
    whole = Frequencies(*made(), trips, {}).instructions
    for share in (0.75, [0.75]):
        assert whole - Frequencies(*made(), trips, {"if (rare)": share}).instructions == 0.25
    with pytest.raises(UnknownLoop, match=r"'if \(gone\)' has 0 shares for 0 branches"):
        Frequencies(*made(), trips, {"if (gone)": 0.5})
    with pytest.raises(UnknownLoop, match=r"'if \(rare\)' has 2 shares for 1 branches"):
        Frequencies(*made(), trips, {"if (rare)": [1, 0]})


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


def test_a_jump_into_the_middle_of_a_loop_is_an_error(made: Make) -> None:
    into = SASS.replace("MUFU.RCP R1, R0 ;", "BRA P3, `(.L_x_2) ;")
    with pytest.raises(UnknownLoop, match="jumps into the middle of a loop"):
        Frequencies(*made(into), {OUTER: 3, INNER: 4}, {})


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


def test_a_goal_moves_with_the_count_before_where_that_is_far_from_the_one_by_hand() -> None:
    case = next(case for case in CASES if case.name == "decode float32")
    assert instructions.aim(case, 1700) == "1,000"
    assert instructions.aim(case, 2445) == "1,500 (moved by +50%)"
    rows = {"before": {"commit": "c", "nvcc": "n", "counts": {case.name: 2445.0}}}
    text = instructions.table(rows)
    assert "| decode float32 | 1,630 | 1,500 (moved by +50%) | 2,445 | 12,288 |" in text
    assert "Before, more than 20 % from the count by hand: decode float32." in text
    rows = {"now": rows["before"]}
    assert "| decode float32 | 1,630 | 1,000 | 2,445 | 12,288 |" in instructions.table(rows)


def test_the_share_of_a_copy_is_what_the_instructions_leave() -> None:
    case = next(case for case in CASES if case.name == "decode bfloat16")
    assert case.size == 64 * 48 * 2
    *_, h100, _, h200 = instructions.allowed(case, 1700).split(" | ")
    assert (h100, h200) == ("70%", "49%")


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
