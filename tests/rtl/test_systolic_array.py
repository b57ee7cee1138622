"""The systolic array against numpy: folds streamed back to back, weights loaded while the last fold computes."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from characterization.design import read_design
from tests.needs import needs_icarus

ROOT = Path(__file__).parents[2]
RTL = ROOT / "rtl"
ACC_BITS = 24
pytestmark = [
    pytest.mark.tool,
    needs_icarus,
]


@dataclass(frozen=True, eq=False)
class Fold:
    weight: np.ndarray  # [rows, cols]
    act: np.ndarray  # [m, rows]
    acc: np.ndarray  # [m, cols]

    @property
    def product(self):
        total = self.acc + self.act.astype(np.int64) @ self.weight
        return (total + 2**23) % 2**24 - 2**23


def random_folds(rows, cols, m, count, seed):
    rng = np.random.default_rng(seed)
    return [
        Fold(rng.integers(-128, 128, (rows, cols)), rng.integers(-128, 128, (m, rows)),
             rng.integers(-(2**23), 2**23, (m, cols)))
        for _ in range(count)
    ]


def play(folds, period, first_row=2):
    """Return one stimulus dict per clock; `first_row` clocks after its swap a fold's first activation enters."""
    rows, m = len(folds[0].weight), len(folds[0].act)
    start = rows + 2
    lines = [{} for _ in range(start + period * len(folds) + m + 2)]
    for cycle in (0, 1):
        lines[cycle]["rst"] = 1
    for k, fold in enumerate(folds):
        swap = start + k * period
        lines[swap]["swap"] = 1
        for i in range(rows):
            lines[swap - rows + i] |= {"shift": 1, "weight": fold.weight[rows - 1 - i]}
        for i in range(m):
            lines[swap + first_row + i] |= {"valid": 1, "act": fold.act[i], "acc": fold.acc[i]}
    return lines


def packed(values, bits):
    return sum((int(value) & (2**bits - 1)) << (bits * i) for i, value in enumerate(values))


def encode(line, rows, cols, rng, acc_bits):
    """Return a stimulus line in hex; data that the line does not define is noise."""
    act = line.get("act", rng.integers(-128, 128, rows))
    weight = line.get("weight", rng.integers(-128, 128, cols))
    acc = line.get("acc", rng.integers(-(2**23), 2**23, cols))
    acc = [int(value) & (2**ACC_BITS - 1) for value in acc]
    word = line.get("rst", 0) << 3 | line.get("valid", 0) << 2 | line.get("swap", 0) << 1 | line.get("shift", 0)
    for values, bits in ((act, 8), (weight, 8), (acc, acc_bits)):
        word = word << (bits * len(values)) | packed(values, bits)
    return f"{word:x}"


def run_array(lines, rows, cols, folder, pe="systolic_pe", sources=None, acc_bits=ACC_BITS, options=()):
    """Return [(clock, [cols])] of every output row marked valid; of two words in `acc_bits`, their sum."""
    lines = [*lines, *[{}] * (rows + cols)]
    rng = np.random.default_rng(1)
    (folder / "lines.hex").write_text("\n".join(encode(line, rows, cols, rng, acc_bits) for line in lines))
    sources = sources or sorted((RTL / pe).glob("*.v"))
    array = sorted((RTL / "systolic_array").glob("*.v"))
    build = ["iverilog", "-g2005", "-Wall", f"-DSYSTOLIC_PE={pe}", "-s", "array_bench", "-o", str(folder / "bench")]
    build += [f"-Parray_bench.{name}={value}" for name, value in
              (("ROWS", rows), ("COLS", cols), ("CYCLES", len(lines)), ("ACC", acc_bits))]
    build += options
    build += [str(path) for path in (Path(__file__).parent / "array_bench.v", *array, *sources)]
    done = subprocess.run(build, capture_output=True, text=True, check=True)
    assert "warning" not in "".join(x for x in done.stderr.splitlines() if "timescale" not in x)
    run = ["vvp", str(folder / "bench"), f"+lines={folder / 'lines.hex'}"]
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "X " not in text  # nothing unknown once reset is over
    found = []
    for line in text.splitlines():
        if line.startswith("OUT"):
            word = int(line.split()[2], 16)
            values = [word >> acc_bits * c & (2**acc_bits - 1) for c in range(cols)]
            totals = [(v & (2**24 - 1)) + (v >> 24) if acc_bits > ACC_BITS else v for v in values]
            found.append((int(line.split()[1]), [(v + 2**23) % 2**24 - 2**23 for v in totals]))
    return found


@pytest.mark.parametrize("pe", ["systolic_pe", "systolic_pe_booth"])
@pytest.mark.parametrize(("rows", "cols", "m"), [(3, 4, 5), (3, 4, 2), (4, 3, 4), (1, 1, 3)])
def test_folds_at_the_overlapped_period_equal_numpy(rows, cols, m, pe, tmp_path):
    folds = random_folds(rows, cols, m, 5, seed=rows * m)
    lines = play(folds, max(m, rows) + 1)
    found = run_array(lines, rows, cols, tmp_path, pe)
    assert [row for _, row in found] == [row for fold in folds for row in fold.product.tolist()]


# The dot product is no element of a systolic array, though its sums are carry-save too.
REDUNDANT = sorted(path.parent.name for path in RTL.glob("systolic_pe*/design.toml")
                   if "result_carry" in path.read_text())


@pytest.mark.parametrize("pe", REDUNDANT)
def test_columns_of_carry_save_elements_sum_to_what_numpy_says(pe, tmp_path):
    design = read_design(RTL / pe)
    rows, cols, m, late = 4, 3, 6, design.latency - 1
    rng = np.random.default_rng(5)
    # The partial sum of a later stage would have to enter later: it starts at zero.
    folds = [replace(fold, weight=rng.choice(design.weights, (rows, cols)), acc=fold.acc * (late == 0))
             for fold in random_folds(rows, cols, m, 4, seed=17)]
    lines = play([replace(fold, weight=design.encode(fold.weight)) for fold in folds], m + 1)
    if late:
        lines = [{**line, "acc": np.zeros(cols, dtype=np.int64)} for line in lines]
    options = [f"-DREDUNDANT_PE={pe}", f"-DWEIGHT_BITS={design.weight_bits}", f"-Parray_bench.LATE={late}"]
    sources = [Path(__file__).parent / "redundant_pe.v", *design.sources]
    found = run_array(lines, rows, cols, tmp_path, "redundant_pe", sources, 2 * ACC_BITS, options)
    assert [row for _, row in found] == [row for fold in folds for row in fold.product.tolist()]


FOOT_BENCH = """`timescale 1ns/1ps
module foot_bench;
    reg clk = 0, valid_in = 0; wire valid_out; reg [23:0] sum, carry, sums [0:2], carries [0:2]; wire [23:0] total;
    integer i, seed = 1;
    column_foot dut (.clk(clk), .rst(i < 2), .valid_in(valid_in), .valid_out(valid_out), .sum(sum), .carry(carry),
                     .total(total));
    initial begin
        for (i = 0; i < 20000; i = i + 1) begin
            sum = $random(seed); carry = i % 3 ? $random(seed) : -sum - (i % 2); valid_in = i % 5 != 0;
            sums[0] = sum; carries[0] = carry;
            #1 clk = 1; #1 clk = 0;
            sums[2] = sums[1]; carries[2] = carries[1]; sums[1] = sums[0]; carries[1] = carries[0];
            #1 if (i > 4 && (total !== sums[2] + carries[2] || valid_out !== ((i - 1) % 5 != 0)))
                $display("WRONG %0d %h %h %h", i, sums[2], carries[2], total);
        end
        $display("DONE %0d", i);
    end
endmodule
"""


def test_the_foot_of_a_column_adds_two_words_in_two_clocks(tmp_path):
    (tmp_path / "bench.v").write_text(FOOT_BENCH)
    foot = RTL / "systolic_pe_csa/column_foot.v"
    build = ["iverilog", "-g2005", "-s", "foot_bench", "-o", tmp_path / "bench", tmp_path / "bench.v", foot]
    subprocess.run(build, check=True)
    done = subprocess.run(["vvp", tmp_path / "bench"], capture_output=True, text=True, check=True)
    assert done.stdout == "DONE 20000\n"


def test_a_result_leaves_rows_plus_columns_less_one_clocks_after_its_activations(tmp_path):
    folds = random_folds(3, 4, 2, 1, seed=3)
    lines = play(folds, 4)
    entered = [i for i, line in enumerate(lines) if line.get("valid")]
    assert [clock for clock, _ in run_array(lines, 3, 4, tmp_path)] == [i + 3 + 4 - 1 for i in entered]


def test_results_of_the_bubble_are_marked_invalid_in_every_column(tmp_path):
    rows, cols, m = 3, 4, 5
    folds = random_folds(rows, cols, m, 4, seed=9)
    # Each fold starts one clock early, in the bubble: its first row must be lost and no other.
    found = run_array(play(folds, m + 1, first_row=1), rows, cols, tmp_path)
    assert [row for _, row in found] == [row for fold in folds for row in fold.product[1:].tolist()]


def test_without_the_bubble_the_first_row_counts_so_the_bubble_is_what_removes_it(tmp_path):
    text = (RTL / "systolic_pe/systolic_pe.v").read_text()
    assert "valid_in & ~swap_out" in text
    eager = tmp_path / "eager.v"
    eager.write_text(text.replace("valid_in & ~swap_out", "valid_in"))
    folds = random_folds(3, 4, 5, 3, seed=10)
    found = run_array(play(folds, 6, first_row=1), 3, 4, tmp_path, sources=[eager])
    assert [row for _, row in found] == [row for fold in folds for row in fold.product.tolist()]


def test_a_load_that_starts_before_the_last_swap_corrupts_the_fold(tmp_path):
    rows, cols, m = 3, 4, 1
    folds = random_folds(rows, cols, m, 4, seed=11)
    found = run_array(play(folds, rows - 1), rows, cols, tmp_path)
    assert [row for _, row in found] != [row for fold in folds for row in fold.product.tolist()]
