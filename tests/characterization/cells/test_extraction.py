"""From a layout to nets, transistors, resistors and capacitors, on drawings whose answer is known by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import linalg

from characterization.cells import layout as layout_module
from characterization.cells.capacitance import wire_capacitance_ff
from characterization.cells.extraction import extract, write_subcircuit
from characterization.cells.grid import connect, draw
from characterization.cells.layout import read_layout
from characterization.cells.parasitic_constants import FRINGE_AF, OVERLAP_AF
from characterization.cells.resistance import Terminal, net_resistors
from characterization.cells.spice_netlist import Circuit, Device
from characterization.cells.transistors import find_transistors
from characterization.cells.wheel import CellFiles, find_wheel
from characterization.errors import CellsError, ToolMissingError
from tests.characterization.cells.drawn import FINGERS, LABELS, drawing
from tests.needs import needs_klayout, needs_wheel


def fingers():
    layout = drawing(LABELS, **FINGERS)
    grid = draw(layout)
    return layout, grid, connect(layout, grid)


def test_contacts_join_layers_and_labels_name_nets():
    _, grid, nets = fingers()
    assert {"A", "Y", "VGND"} <= set(nets.names)
    outer = [nets.of["active"][grid.at(x, 300)] for x in (100, 1000)]
    assert {nets.names[net] for net in outer} == {"VGND"}
    assert nets.names[nets.of["active"][grid.at(550, 600)]] == "Y"
    assert nets.names[nets.of["poly"][grid.at(300, 300)]] == "A"


def test_two_labels_on_one_net_are_refused():
    layout = drawing({"li1": (("A", 50, 50), ("B", 150, 50)), "met1": ()}, li1=[(0, 0, 200, 100)])
    with pytest.raises(CellsError, match="the layout joins A and B on one net"):
        connect(layout, draw(layout))


def test_fingers_have_the_junctions_and_stress_distances_that_were_drawn():
    _, grid, nets = fingers()
    left, right = find_transistors("drawn", grid, nets)
    assert (left.kind, left.width_um, left.length_um) == ("n", pytest.approx(0.65), pytest.approx(0.15))
    outer, inner = left.junctions
    assert outer.area_um2 == pytest.approx(0.26 * 0.65)
    assert outer.perimeter_um == pytest.approx(2 * 0.26 + 2 * 0.65)
    assert inner.area_um2 == pytest.approx(0.28 * 0.65 / 2)  # half of what both fingers share
    assert inner.perimeter_um == pytest.approx(0.28 + 0.65)
    assert (outer.edge_um, inner.edge_um) == (pytest.approx(0.26), pytest.approx(1.1 - 0.26 - 0.15))
    assert right.junctions[0].strip == inner.strip


def test_a_transistor_lying_sideways_is_the_same_transistor():
    def turn(boxes):
        return {name: [(b, a, d, c) for a, b, c, d in shapes] for name, shapes in boxes.items()}

    labels = {layer: tuple((text, y, x) for text, x, y in found) for layer, found in LABELS.items()}
    layout = drawing(labels, **turn(FINGERS))
    grid = draw(layout)
    sideways = find_transistors("drawn", grid, connect(layout, grid))
    _, upright_grid, upright_nets = fingers()
    upright = find_transistors("drawn", upright_grid, upright_nets)
    assert [(t.width_um, t.length_um, [j.area_um2 for j in t.junctions]) for t in sideways] == [
        (pytest.approx(t.width_um), pytest.approx(t.length_um), [pytest.approx(j.area_um2) for j in t.junctions])
        for t in upright]


def test_a_gate_that_ends_on_diffusion_is_refused():
    layout = drawing(diff=[(0, 0, 1000, 500)], poly=[(400, 200, 550, 700)])
    grid = draw(layout)
    with pytest.raises(CellsError, match=r"the gate at \(400, 200\) nm is no rectangle with diffusion on two"):
        find_transistors("drawn", grid, connect(layout, grid))


def two_ends(grid, x_left, x_right, y_nm):
    return [Terminal("left", "li1", (grid.at(x_left, y_nm),)), Terminal("right", "li1", (grid.at(x_right, y_nm),))]


def test_a_wire_has_the_resistance_of_its_squares():
    layout = drawing(li1=[(0, 0, 170, 170), (170, 0, 1870, 170), (1870, 0, 2040, 170)])
    grid = draw(layout)
    (resistor,) = net_resistors(grid, connect(layout, grid), 0, two_ends(grid, 85, 1955, 85))
    assert resistor.ohm == pytest.approx(12.8 * 11)  # eleven squares from middle to middle


def test_contacts_of_a_terminal_lie_in_parallel():
    def drain(n_contacts):
        cuts = [(40, 40 + 340 * i, 210, 210 + 340 * i) for i in range(n_contacts)]
        layout = drawing(diff=[(0, 0, 250, 1500)], licon=cuts, li1=[(40, 0, 210, 1500)], mcon=cuts,
                         met1=[(40, 0, 210, 1500)])
        grid = draw(layout)
        places = [Terminal(name, layer, (grid.at(100, 100),)) for name, layer in (("d", "active"), ("m", "met1"))]
        (resistor,) = net_resistors(grid, connect(layout, grid), 0, places)
        return resistor.ohm

    assert drain(1) == pytest.approx(185 + 9.3, rel=0.02)
    assert drain(4) == pytest.approx(drain(1) / 4, rel=0.02)


def test_an_isolated_wire_has_area_and_fringe_to_the_well_and_nothing_else():
    length_um, width_um = 20.0, 0.2
    layout = drawing(li1=[(10_000, 10_000, 30_000, 10_200)], nwell=[(0, 0, 40_000, 20_200)])
    grid = draw(layout)
    wires_ff = wire_capacitance_ff(grid, connect(layout, grid))
    expected = OVERLAP_AF["li1", "well"] * length_um * width_um + FRINGE_AF["li1", "well"] * 2 * (length_um + width_um)
    assert wires_ff[0, 2] == pytest.approx(expected / 1000, rel=1e-6)
    assert wires_ff[0, 1] == 0


def test_fringes_that_land_on_a_neighbour_are_missing_from_the_well():
    alone = drawing(li1=[(0, 0, 10_000, 200)], nwell=[(-5000, -5000, 15_000, 5000)])
    beside = drawing(li1=[(0, 0, 10_000, 200), (0, 400, 10_000, 600)], nwell=[(-5000, -5000, 15_000, 5000)])
    one, two = (wire_capacitance_ff(g, connect(layout, g)) for layout in (alone, beside) for g in (draw(layout),))
    assert two[0, 3] < one[0, 2]
    assert two[0, 1] > 0
    assert np.allclose(two, two.T)


def field_solution_af(height_um, thickness_um, width_um, spacing_um, relative=3.9, step_um=0.04):
    """Coupling and ground capacitance in aF/um of one of two lines over a plane, by finite differences."""
    n_x, n_y = round((2 * width_um + spacing_um + 6) / step_um), round(4 / step_um)
    label = np.zeros((n_x, n_y), int)
    rows = slice(round(height_um / step_um), round((height_um + thickness_um) / step_um))
    half, width = round(spacing_um / 2 / step_um), round(width_um / step_um)
    label[n_x // 2 - half - width:n_x // 2 - half, rows] = 1
    label[n_x // 2 + half:n_x // 2 + half + width, rows] = 2
    label[:, 0] = 3
    index = np.arange(n_x * n_y).reshape(n_x, n_y)
    one = np.r_[index[:-1].ravel(), index[:, :-1].ravel()]
    other = np.r_[index[1:].ravel(), index[:, 1:].ravel()]
    links = sp.coo_matrix((np.ones(2 * len(one)), (np.r_[one, other], np.r_[other, one]))).tocsr()
    laplace = sp.csc_matrix(sp.diags(np.asarray(links.sum(1)).ravel()) - links)
    flat = label.ravel()
    volt, free = (flat == 1).astype(float), flat == 0
    volt[free] = linalg.spsolve(laplace[free][:, free], -(laplace[free] @ volt))
    charge = laplace @ volt * relative * 8.854
    return -charge[flat == 2].sum(), -charge[flat == 3].sum()


@pytest.mark.parametrize("spacing_um", [0.2, 0.4, 0.8, 1.6])
def test_coupling_and_ground_of_two_wires_are_near_a_solution_of_the_field(spacing_um):
    coupling_af, ground_af = field_solution_af(0.94, 0.12, 0.16, spacing_um)
    gap = round(spacing_um * 1000)
    layout = drawing(li1=[(0, 0, 50_000, 160), (0, 160 + gap, 50_000, 320 + gap)],
                     nwell=[(-9000, -9000, 59_000, 9000 + gap)])
    grid = draw(layout)
    wires_ff = wire_capacitance_ff(grid, connect(layout, grid))
    # The published coefficients know the nitride around li1, the solution here is all oxide: hence not closer.
    assert wires_ff[0, 1] * 20 == pytest.approx(coupling_af, rel=0.5)
    assert wires_ff[0, 3] * 20 == pytest.approx(ground_af, rel=0.5)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 8), st.integers(1, 8)), min_size=1,
                max_size=6))
def test_no_capacitance_depends_on_how_a_layout_is_turned(places):
    def wires(turned):
        boxes = [(100 * x, 100 * y, 100 * (x + w), 100 * (y + h)) for x, y, w, h in places]
        boxes = [(b, a, d, c) for a, b, c, d in boxes] if turned else boxes
        layout = drawing(li1=boxes, poly=[(0, 0, 1000, 1000)], nwell=[(-500, -500, 3500, 3500)])
        grid = draw(layout)
        return sorted(wire_capacitance_ff(grid, connect(layout, grid)).sum(axis=0).tolist())

    assert wires(True) == pytest.approx(wires(False))


NFET = Device("nfet", "n", "A", ("VGND", "Y"), 0.65, 0.15)


def test_a_subcircuit_holds_all_devices_and_is_the_same_each_time():
    circuit = Circuit("drawn", ("A", "VGND", "Y"), (NFET, NFET))
    layout = drawing(LABELS, **FINGERS)
    text = write_subcircuit(circuit, layout)
    assert text == write_subcircuit(circuit, layout)
    assert sum(line.startswith("X") for line in text.splitlines()) == 2
    assert ".subckt drawn A VGND Y" in text


def test_a_layout_with_other_transistors_than_its_netlist_is_refused():
    with pytest.raises(CellsError, match=r"the layout has 2 transistors, the netlist 1; of nfet 0.65 x 0.15 um it has "
                                         r"2, the netlist 1"):
        write_subcircuit(Circuit("drawn", ("A", "VGND", "Y"), (NFET,)), drawing(LABELS, **FINGERS))


def test_a_layout_without_a_pin_of_its_netlist_is_refused():
    with pytest.raises(CellsError, match="the layout has no label of pin B"):
        write_subcircuit(Circuit("drawn", ("A", "B", "VGND", "Y"), (NFET, NFET)), drawing(LABELS, **FINGERS))


@needs_wheel
@needs_klayout
@pytest.mark.tool
def test_a_cell_of_the_wheel_is_extracted_once_and_then_read(tmp_path, monkeypatch):
    files = find_wheel().cell("nand2_1")
    first = extract(files, tmp_path)
    monkeypatch.setattr("characterization.cells.extraction.read_layout", None)
    assert extract(files, tmp_path) == first
    assert first.digest == extract(files, tmp_path).digest
    assert (first.circuit.pins, len(first.circuit.devices), first.area_um2) == (("A", "B", "Y"), 4, 3.7536)


@needs_klayout
@pytest.mark.tool
def test_a_file_that_is_no_layout_is_reported(tmp_path):
    (tmp_path / "x.gds").write_text("no layout", encoding="utf-8")
    with pytest.raises(CellsError, match=r"x.gds: klayout cannot read this layout"):
        read_layout(tmp_path / "x.gds")


def test_without_klayout_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    def missing(name):
        raise layout_module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(layout_module.importlib.metadata, "version", missing)
    with pytest.raises(ToolMissingError, match="klayout, which reads the cells' layouts, is not installed"):
        read_layout(tmp_path / "x.gds")


def test_a_tie_cell_needs_no_layout(tmp_path):
    netlist = tmp_path / "tie.spice"
    netlist.write_text(".subckt tie VGND VNB VPB VPWR HI LO\nR0 VGND LO r w=1u l=1u\nR1 HI VPWR r w=1u l=1u\n.ends\n",
                       encoding="utf-8")
    frame = tmp_path / "tie.lef"
    frame.write_text("MACRO tie\n SIZE 1.38 BY 2.72 ;\n", encoding="utf-8")
    cell = extract(CellFiles("tie", netlist, tmp_path / "none.gds", frame), tmp_path)
    assert cell.circuit.ties == (("VGND", "LO"), ("HI", "VPWR"))
    assert cell.area_um2 == 3.7536
