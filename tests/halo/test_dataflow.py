from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo.dataflow import Accesses, Array, accesses, edge_cycles, fold_cycles, n_folds, product_cycles, utilization

SIZES = st.integers(1, 300)
ARRAYS = st.builds(Array, st.integers(1, 64), st.integers(1, 64), st.sampled_from(["ws", "os", "is"]),
                   st.sampled_from(["overlapped", "scalesim"]), st.booleans())
# What SCALE-Sim 3.0.0 reported; `benchmarks/scalesim.py` asks the program itself.
REPORTED = [((4, 4, 4), (4, 4), (13, 9, 13)), ((7, 9, 11), (4, 8), (125, 83, 68)),
            ((32, 32, 32), (8, 8), (863, 735, 863)), ((1, 64, 64), (16, 16), (751, 375, 439)),
            ((128, 64, 96), (16, 32), (2279, 2271, 3023)),
            ((128, 512, 512), (128, 128), (8159, 3063, None)), ((1, 512, 512), (128, 128), (6127, 3063, None))]


@pytest.mark.parametrize(("shape", "size", "cycles"), REPORTED)
def test_cycles_equal_those_scale_sim_reports(shape, size, cycles):
    for flow, reported in zip(("ws", "os", "is"), cycles, strict=True):
        assert reported in {None, product_cycles(*shape, Array(*size, flow, "scalesim"))}


def test_accesses_equal_those_scale_sim_reports_without_its_spurious_writes():
    counts = {flow: accesses(7, 9, 11, Array(4, 8, flow, "scalesim")) for flow in ("ws", "os", "is")}
    assert counts == {"ws": Accesses(154, 99, 189), "os": Accesses(154, 198, 63), "is": Accesses(77, 99, 189)}


@given(SIZES, SIZES, SIZES, ARRAYS)
def test_no_element_does_two_operations_in_a_cycle_and_all_are_done(m, n, k, array):
    assert 0 < utilization(m, n, k, array) <= 1
    assert n_folds(m, n, k, array) * fold_cycles(m, n, k, array) + edge_cycles(array) == product_cycles(m, n, k, array)


@given(SIZES, SIZES, SIZES, ARRAYS)
def test_overlapping_never_takes_longer_but_for_its_bubbles(m, n, k, array):
    alone, hidden = (product_cycles(m, n, k, replace(array, mode=mode)) for mode in ("scalesim", "overlapped"))
    assert hidden <= alone + n_folds(m, n, k, array) * array.bubble + array.skew_cycles + 1


@given(SIZES, SIZES, SIZES, ARRAYS)
def test_every_operand_is_read_and_every_result_written_at_least_once(m, n, k, array):
    found = accesses(m, n, k, array)
    assert found.activation_reads >= m * k
    assert found.weight_reads >= n * k
    assert found.sum_writes >= m * n


@given(SIZES, SIZES, SIZES, ARRAYS)
def test_stationary_operands_are_read_once_and_stationary_sums_written_once(m, n, k, array):
    found = accesses(m, n, k, array)
    once = {"ws": (found.weight_reads, n * k), "os": (found.sum_writes, m * n), "is": (found.activation_reads, m * k)}
    assert once[array.dataflow][0] == once[array.dataflow][1]
