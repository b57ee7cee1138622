import networkx as nx
import pytest

from characterization.errors import NetlistError
from characterization.netlist import CONST1, Cell, Netlist, Port, abut

OUTPUT_PINS = {"NAND2": ("Y",), "DFF": ("Q",)}


def register_loop() -> Netlist:
    """A one-bit pipeline: out_q <= !(in & 1), out = out_q."""
    return Netlist(
        "pipe",
        (Port("clk", "input", ("clk",)), Port("d", "input", ("d",)), Port("q", "output", ("q",))),
        (
            Cell("u1", "NAND2", {"A": "d", "B": CONST1, "Y": "n1[0]"}),
            Cell("u2", "DFF", {"D": "n1[0]", "CLK": "clk", "Q": "q"}),
        ),
        OUTPUT_PINS,
    )


def test_a_netlist_survives_its_text():
    netlist = register_loop()
    assert Netlist.from_text(netlist.to_text()) == netlist


def test_the_digest_ignores_the_order_of_cells():
    netlist = register_loop()
    turned = Netlist(netlist.top, netlist.ports, netlist.cells[::-1], netlist.output_pins)
    assert turned.digest == netlist.digest


def test_damaged_text_is_refused():
    with pytest.raises(NetlistError, match="netlist text is damaged"):
        Netlist.from_text(register_loop().to_text()[:-20])


def test_an_unknown_port_is_named_with_the_known_ones():
    with pytest.raises(NetlistError, match=r"no port 'x'; it has clk, d, q"):
        register_loop().port("x")


def test_the_graph_follows_nets_from_driver_to_load():
    graph = register_loop().to_graph()
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.shortest_path(graph, "d[0]", "q[0]") == ["d[0]", "u1", "u2", "q[0]"]


def test_abutting_moves_the_loads_of_an_input_to_the_paired_output():
    joined = abut(register_loop(), {"d": "q"})
    assert [port.name for port in joined.ports] == ["clk", "q"]
    assert joined.loads["q"] == [(joined.cells[0], "A")]


def test_abutting_ports_of_different_widths_is_refused():
    netlist = register_loop()
    wide = Netlist(netlist.top, (*netlist.ports, Port("w", "output", ("q", "q"))), netlist.cells, OUTPUT_PINS)
    with pytest.raises(NetlistError, match="an input must be paired with an output of its width"):
        abut(wide, {"d": "w"})


def test_abutting_a_feed_through_is_refused():
    netlist = register_loop()
    through = Netlist(netlist.top, (*netlist.ports, Port("e", "output", ("d",))), netlist.cells, OUTPUT_PINS)
    with pytest.raises(NetlistError, match="straight through"):
        abut(through, {"d": "e"})


def test_verilog_names_port_bits_and_constants():
    text = register_loop().to_verilog()
    assert ".A(d), .B(1'b1), .Y(net_n1_0)" in text
    assert ".Q(q)" in text
