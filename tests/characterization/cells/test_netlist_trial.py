"""A few cells between flip-flops, on gates and on transistors: same values, near the same times and energies."""


import numpy as np
import pytest

from characterization.annotation import annotate
from characterization.benches.clocked_states import clocked_states
from characterization.cells.netlist_deck import Clocking, netlist_deck
from characterization.cells.netlist_run import Cycles, bench_of
from characterization.cells.netlist_trial import check_values, hold_against_spice
from characterization.cells.tables import Condition
from characterization.corner_library import read_corner
from characterization.errors import CellsError
from characterization.netlist import CONST1, Cell, Netlist, Port
from characterization.pdk import read_pdk
from tests.needs import needs_cells

pytestmark = [
    pytest.mark.tool,
    needs_cells,
]
SKY = "sky130_fd_sc_hd__"
CLOCKING = Clocking(2000.0)
# What the edges capture: a and b, first to fill the registers; the last row is never captured.
PORTS = np.array([[0, 0], [0, 0], [1, 0], [1, 1], [0, 1], [1, 0], [0, 0], [0, 0]], np.uint8)


def flop(name: str, data: str, out: str) -> Cell:
    return Cell(name, f"{SKY}dfxtp_1", {"CLK": "clk", "D": data, "Q": out})


# y takes (a xor b) or not a, one cycle later; one input of the nand3 is tied high.
NETLIST = Netlist(
    "tiny", (Port("clk", "input", ("clk",)), Port("a", "input", ("a",)), Port("b", "input", ("b",)),
             Port("y", "output", ("y",))),
    (flop("fa", "a", "qa"), flop("fb", "b", "qb"),
     Cell("u0", f"{SKY}xnor2_1", {"A": "qa", "B": "qb", "Y": "n0"}),
     Cell("u1", f"{SKY}nand3_1", {"A": "n0", "B": "qa", "C": CONST1, "Y": "n1"}),
     Cell("u2", f"{SKY}ha_1", {"A": "qa", "B": "qb", "SUM": "n2"}), flop("fy", "n1", "y"), flop("fz", "n2", "z")),
    {f"{SKY}dfxtp_1": ("Q",), f"{SKY}xnor2_1": ("Y",), f"{SKY}nand3_1": ("Y",), f"{SKY}ha_1": ("COUT", "SUM")},
)


@pytest.fixture(scope="module")
def timed():
    corner = read_pdk("sky130").corner("tt_025C_1v80")
    return annotate(NETLIST, read_corner(corner), corner, "clk")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_of(NETLIST, "clk", Condition("tt", 25.0, 1.8), tmp_path_factory.mktemp("netlist"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def trial(bench, timed, work):
    return hold_against_spice(bench, timed, PORTS, range(len(timed.sinks)), CLOCKING, work)


def test_registers_take_their_ports_at_the_edge_and_results_a_cycle_later(timed):
    states = clocked_states(timed, PORTS)
    value = {source.net: states[:, column].tolist() for column, source in enumerate(timed.sources)}
    assert value["qa"] == PORTS[:-1, 0].tolist()
    assert value["a"] == PORTS[1:, 0].tolist()
    assert value["y"][2:] == [int(a != b or not a) for a, b in PORTS[1:-2]]


def test_gates_settle_when_transistors_do_and_take_the_energy_that_they_take(trial):
    gates, spice = trial.gates, trial.transistors
    assert trial.functional.any(axis=1).tolist() == [True] * len(spice.energy_fj)
    moved = spice.settle_ps > 0
    assert moved.any()
    np.testing.assert_array_equal(moved, gates.settle_ps > 0)
    np.testing.assert_allclose(gates.settle_ps[moved], spice.settle_ps[moved], rtol=0.1)
    np.testing.assert_allclose(gates.energy_fj, spice.energy_fj, rtol=0.15)
    assert np.corrcoef(gates.energy_fj, spice.energy_fj)[0, 1] > 0.95


def test_every_edge_of_the_transistors_is_a_swing_and_every_needed_one_is_there(trial):
    edges = trial.transistors.edges.sum(axis=2)
    assert (edges >= trial.functional).all()
    assert ((edges - trial.functional) % 2 == 0).all()
    # A pulse that just reaches half the supply makes two edges and swings by one supply.
    assert (trial.swing >= 0.49 * edges).all()
    assert trial.swing[trial.functional].min() > 0.98


def test_finished_cycles_are_not_simulated_again(trial, bench, timed, work, monkeypatch):
    monkeypatch.setattr("characterization.cells.netlist_run.run_deck", None)
    again = hold_against_spice(bench, timed, PORTS, range(len(timed.sinks)), CLOCKING, work)
    np.testing.assert_array_equal(again.transistors.energy_fj, trial.transistors.energy_fj)
    np.testing.assert_array_equal(again.transistors.settle_ps, trial.transistors.settle_ps)


def test_transistors_that_settle_elsewhere_are_reported_with_their_net(timed):
    nets = ("n0", *dict.fromkeys(net.net for net in (*timed.sources, *timed.gates) if net.net != "n0"))
    values = np.zeros((1, len(nets)), int)
    none = np.zeros((1, len(nets)))
    cycles = Cycles(nets, none, np.zeros((1, len(nets), 2), int), none, np.zeros(1), values)
    expected = np.zeros((1, len(nets)), int)
    check_values(timed, cycles, expected)
    values[0, 0] = 2
    with pytest.raises(CellsError, match=r"in cycle 0 the transistors bring net n0 to 2 .* the gates to 0"):
        check_values(timed, cycles, expected)


def test_a_deck_ties_constants_to_rails_and_leaves_unread_outputs_to_themselves(bench):
    deck = netlist_deck(bench, PORTS, CLOCKING, {"n1": 1})
    nodes = bench.nodes
    ports = bench.cells[f"{SKY}nand3_1"].circuit.ports
    call = next(line for line in deck.splitlines() if line.endswith(" sky130_fd_sc_hd__nand3_1"))
    assert dict(zip(ports, call.split()[1:-1], strict=True))["C"] == "VPWR"
    assert "_COUT" in next(line for line in deck.splitlines() if line.endswith(" sky130_fd_sc_hd__ha_1"))
    assert f".nodeset v({nodes['n1']})=1.8" in deck
    assert bench.ports == ("a", "b")


def test_what_ngspice_complains_of_is_reported(bench, timed, tmp_path, monkeypatch):
    monkeypatch.setattr("characterization.cells.netlist_run.run_deck", lambda deck, work: (b"", "Error: out of memory"))
    with pytest.raises(CellsError, match="tiny: ngspice gave up: Error: out of memory"):
        hold_against_spice(bench, timed, PORTS, (0,), CLOCKING, tmp_path)
