"""check_reach(): that weights get into a mapped netlist."""

from __future__ import annotations

from collections.abc import Iterable

from characterization.design import MacDesign
from characterization.errors import SynthesisError
from characterization.netlist import Netlist


def reached(netlist: Netlist, nets: Iterable[str]) -> set[str]:
    """Return every net that some nets can influence, in this clock cycle or a later one, themselves included."""
    found, waiting = set(), list(nets)
    while waiting:
        net = waiting.pop()
        if net not in found:
            found.add(net)
            for cell, _ in netlist.loads.get(net, ()):
                waiting += [cell.pins[pin] for pin in netlist.outputs_of(cell)]
    return found


def shown(netlist: Netlist, nets: Iterable[str]) -> list[str]:
    """Return the nets that carry some register or port bits; an output port's bit may have another name inside."""
    inside = {f"{port.name}[{bit}]" if port.width > 1 else port.name: net
              for port in netlist.ports for bit, net in enumerate(port.nets)}
    return [inside.get(net, net) for net in nets]


def check_reach(netlist: Netlist, design: MacDesign) -> None:
    """Check that the weight port reaches every lane's weight register.

    That each bit of a register is there, and that it reaches a result, is timing's to say.

    Raises:
        SynthesisError: it does not reach one.
    """
    port = design.roles["weight"]
    loaded = reached(netlist, shown(netlist, design.nets_of(port)))
    for lane in design.lanes:
        if not loaded.intersection(shown(netlist, design.nets_of(lane.weight))):
            raise SynthesisError(
                f"{netlist.top}: weight port {port} does not reach {lane.weight}, which [[lanes]] calls the weight's "
                "register; check roles.weight and how weights are loaded."
            )
