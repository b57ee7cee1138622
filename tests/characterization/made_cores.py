"""Cores made by hand or at random, and a second engine with the bench's semantics, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from characterization.benches.activity import CoreTrace, simulate_states
from characterization.benches.core import net_order
from characterization.benches.settled import settled_values, sink_values, source_columns
from characterization.benches.stimulus import Stimulus
from characterization.design import Lane, MacDesign
from characterization.flat import EdgeCosts
from characterization.timed import FALL, RISE, Gate, Sink, Source, TimedNetlist

AND2, NAND2, OR2, XOR2, INV, BUF = 0b1000, 0b0111, 0b1110, 0b0110, 0b01, 0b10
Arcs = dict[tuple[int, int, int], float]


def gate(net: str, truth: int, nets: Sequence[str], arcs: Arcs, energy=(0.0, 0.0)) -> Gate:
    """Return a gate whose delays are given by (pin, input edge, output edge)."""
    delay_ps = np.full((len(nets), 2, 2), np.nan)
    for place, delay in arcs.items():
        delay_ps[place] = delay
    pins = tuple("ABCDEF"[: len(nets)])
    to = [truth >> pattern & 1 for pattern in range(2 ** len(nets))]
    energy_fj = np.tile(np.array(energy)[to], (len(nets), 1))
    return Gate(f"cell_{net}", f"K{len(nets)}", "Y", net, pins, tuple(nets), truth, delay_ps, energy_fj)


def uniform(truth: int, inputs: int, rise: float, fall: float) -> Arcs:
    """Return every arc that `truth` can show, at one delay for each output edge."""
    return {place: (rise if place[2] else fall) for place in sensitized(truth, inputs)}


def sensitized(truth: int, inputs: int) -> list[tuple[int, int, int]]:
    """Return every (pin, input edge, output edge) by which one input alone can move the output."""
    found = set()
    for pin in range(inputs):
        for pattern in range(2**inputs):
            low, high = truth >> (pattern & ~(1 << pin)) & 1, truth >> (pattern | 1 << pin) & 1
            if low != high:
                found |= {(pin, RISE, high), (pin, FALL, low)}
    return sorted(found)


def source(net: str, launch=(0.0, 0.0), energy=(0.0, 0.0), complement_of: str | None = None) -> Source:
    """Return the output of a flop named after its net."""
    energy_fj = np.array([[0.0, energy[RISE]], [energy[FALL], 0.0]])
    return Source(net, f"flop_{net}/Q", np.array(launch), energy_fj, complement_of)


def sink(net: str, setup=(0.0, 0.0), captures: str | None = None) -> Sink:
    """Return the data pin of a flop; `captures` names the flop."""
    return Sink(net, f"flop_{captures or net + '_next'}/D", captures, np.array(setup))


def core(sources: Iterable[Source], gates: Iterable[Gate], sinks: Iterable[Sink], **changes) -> TimedNetlist:
    """Return a core with no loads unless given."""
    fields = {
        "load_ff": {}, "clock_energy_fj": 0.0, "input_energy_fj": {}, "leakage_nw": 0.0, "area_um2": 1.0,
        "voltage_v": 1.0, "temp_c": 25.0, "lookups_outside": 0, "netlist_digest": "made by hand",
    }
    return TimedNetlist(
        top="core", gates=tuple(gates), sources=tuple(sources), sinks=tuple(sinks), **(fields | changes)
    )


def random_core(seed: int, n_sources: int = 6, n_gates: int = 40) -> TimedNetlist:
    """Return a random core with delays of 1 to 12 fs, so that events often meet in one instant."""
    rng = np.random.default_rng(seed)
    sources = [source(f"s{i}", rng.integers(0, 6, 2) / 1000) for i in range(n_sources)]
    nets, gates = [s.net for s in sources], []
    while len(gates) < n_gates:
        inputs = int(rng.integers(1, 5))
        truth = int(rng.integers(1, 2 ** (2**inputs) - 1))
        picked = [str(net) for net in rng.choice([*nets[-14:], *nets[:n_sources], "CONST0", "CONST1"], inputs)]
        arcs = {place: int(rng.integers(1, 13)) / 1000 for place in sensitized(truth, inputs)}
        gates.append(gate(f"n{len(gates)}", truth, picked, arcs))
        nets.append(gates[-1].net)
    sinks = [sink(net, rng.integers(-2, 6, 2) / 1000) for net in [*nets[-10:], nets[0]]]
    return core(sources, gates, sinks)


def random_states(seed: int, blocks: int, steps: int, sources: int) -> np.ndarray:
    """Return random states, uint8 [block, step, source]."""
    return np.random.default_rng(seed).integers(0, 2, (blocks, steps, sources), dtype=np.uint8)


def stimulus_of(states: np.ndarray, cost_steps: np.ndarray | None = None) -> Stimulus:
    """Return states as a stimulus in which every step but the first counts."""
    counted = np.arange(states.shape[1]) > 0
    cost_steps = counted if cost_steps is None else cost_steps
    return Stimulus(tuple(range(len(states))), lambda blocks: states[list(blocks)], counted, cost_steps, "made")


def expected_of(timed: TimedNetlist, states: np.ndarray) -> np.ndarray:
    """Return settled sinks, uint8 [block, step, sink]."""
    return np.stack([sink_values(timed, settled_values(timed, source_columns(timed, block))) for block in states])


def trace_of(timed: TimedNetlist, states: np.ndarray, work: Path, cost=None, **options) -> CoreTrace:
    """Return the bench's trace, all sinks watched; costs default to 1 per edge."""
    cost = np.ones((len(net_order(timed)), 2), dtype=np.int64) if cost is None else cost
    stimulus = stimulus_of(states, options.pop("cost_steps", None))
    watched, options = range(len(timed.sinks)), {"workers": 1, **options}
    return simulate_states(timed, stimulus, expected_of(timed, states), watched, cost, work, **options)


def fs(time_ps: float) -> int:
    """Return femtoseconds of a time that is a whole number of them."""
    return round(time_ps * 1000)


def waveforms(timed: TimedNetlist, before: np.ndarray, after: np.ndarray) -> dict[str, list[tuple[int, int]]]:
    """Return (time, value) of every change of every net from one state to the next: levelised, no event queue."""
    start = {net: int(v[0]) for net, v in settled_values(timed, source_columns(timed, before[None])).items()}
    waves: dict[str, list[tuple[int, int]]] = {"CONST0": [], "CONST1": []}
    for column, s in enumerate(timed.sources):
        moved = before[column] != after[column]
        waves[s.net] = [(fs(s.launch_ps[after[column]]), int(after[column]))] if moved else []
    for g in timed.gates:
        waves[g.net] = gate_wave(g, start, waves)
    return waves


def gate_wave(g: Gate, start: dict[str, int], waves: dict[str, list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return the output changes of an inertial gate: earliest cause wins, returning causes cancel."""
    now, out, due, wave = [start[net] for net in g.nets], start[g.net], None, []
    for time in sorted({t for net in g.nets for t, _ in waves[net]}):
        if due is not None and due <= time:
            wave.append((due, 1 - out))
            out, due = 1 - out, None
        moved = [(pin, value) for pin, net in enumerate(g.nets) for t, value in waves[net] if t == time]
        for pin, value in moved:
            now[pin] = value
        value = g.truth >> sum(bit << pin for pin, bit in enumerate(now)) & 1
        if value == out:
            due = None
        else:
            delays = [g.delay_ps[pin, edge, value] for pin, edge in moved]
            causes = [time + fs(delay) for delay in delays if not np.isnan(delay)]
            due = min([*causes, *([] if due is None else [due])])
    if due is not None:
        wave.append((due, 1 - out))
    return wave


def gate_cost(g: Gate, start: dict[str, int], waves: dict[str, list[tuple[int, int]]], cost: np.ndarray,
              rail: int, pair: int) -> int:
    """Return what a gate's output edges cost, those that come back before they have swung in proportion."""
    now, out, due, last, total, swings = [start[net] for net in g.nets], start[g.net], None, None, 0, 0
    times = sorted({t for net in g.nets for t, _ in waves[net]})
    for time in [*times, 1 << 60]:
        if due is not None and due[0] <= time:
            total += int(due[1])
            swings -= max(0, rail - (due[0] - last[0])) if last else 0
            out, last, due = 1 - out, due, None
        moved = [(pin, value) for pin, net in enumerate(g.nets) for t, value in waves[net] if t == time]
        for pin, value in moved:
            now[pin] = value
        pattern = sum(bit << pin for pin, bit in enumerate(now))
        value = g.truth >> pattern & 1
        delays = [(pin, g.delay_ps[pin, edge, value]) for pin, edge in moved]
        fresh = min([(time + fs(delay), int(cost[pin, pattern])) for pin, delay in delays if not np.isnan(delay)],
                    key=lambda edge: edge[0], default=None)
        if value == out:
            if due is not None and fresh is not None:
                swings += min(max(fresh[0] - due[0], 0), rail)
            due = None
        elif fresh is not None and (due is None or fresh[0] < due[0]):
            due = fresh
    return total + (int(swings * (pair / rail)) if rail else 0)


def expected_cost(timed: TimedNetlist, states: np.ndarray, costs: EdgeCosts) -> np.ndarray:
    """Return what transitions cost [block, transition] by the second engine; `costs` without hidden ones."""
    total = np.zeros((states.shape[0], states.shape[1] - 1), dtype=np.int64)
    places = list(zip(costs.rail_fs.tolist(), costs.pair.tolist(), strict=True))
    for block, series in enumerate(states):
        for step in range(len(series) - 1):
            start = {net: int(v[0]) for net, v in
                     settled_values(timed, source_columns(timed, series[step][None])).items()}
            waves = waveforms(timed, series[step], series[step + 1])
            total[block, step] = sum(costs.source[place, value] for place, s in enumerate(timed.sources)
                                     for _, value in waves[s.net])
            total[block, step] += sum(gate_cost(g, start, waves, costs.gate[place], *places[place])
                                      for place, g in enumerate(timed.gates))
    return total


def expected_trace(timed: TimedNetlist, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return settle times in fs [block, transition] and edges [block, net, edge] by the second engine."""
    settle = np.zeros((states.shape[0], states.shape[1] - 1), dtype=np.int64)
    edges = np.zeros((states.shape[0], len(net_order(timed)), 2), dtype=np.int64)
    for block, series in enumerate(states):
        for step in range(len(series) - 1):
            waves = waveforms(timed, series[step], series[step + 1])
            for place, net in enumerate(net_order(timed)):
                for _, value in waves[net]:
                    edges[block, place, value] += 1
            settle[block, step] = max(0, *(last_need(timed, net, waves[net]) for net in {s.net for s in timed.sinks}))
    return settle, edges


def last_need(timed: TimedNetlist, net: str, wave: list[tuple[int, int]]) -> int:
    """Return last change plus setup in fs, 0 if the net stands still."""
    if not wave:
        return 0
    time, value = wave[-1]
    return time + max(fs(s.setup_ps[value]) for s in timed.sinks if s.net == net)


REFERENCE = """
def result(weights, activations, accumulator, wrap):
    for weight, activation in zip(weights, activations, strict=True):
        accumulator = accumulator ^ (weight & activation)
    return wrap(accumulator, 8)


def next_state(now, wrap, select):
    after = {NEXT}
    return after
"""
STATIONARY = '{"acc_out": result([now["weight_q"]], [now["act_in"]], now["acc_in"], wrap)}'
STREAMING = (
    '{"product_q[7:0]": now["weight_q[7:0]"] & now["act_q[7:0]"], '
    '"product_q[15:8]": now["weight_q[15:8]"] & now["act_q[15:8]"], '
    '"acc_out": wrap(now["acc_in"] ^ now["product_q[7:0]"] ^ now["product_q[15:8]"], 8)}'
)


def toy_design(folder: Path, mode: str, reference: str | None = None) -> MacDesign:
    """Return a design that multiplies by AND and adds by XOR: one lane with a held weight, or two that stream."""
    text = REFERENCE.replace("{NEXT}", reference or (STATIONARY if mode == "stationary" else STREAMING))
    (folder / "reference.py").write_text(text)
    stationary = mode == "stationary"
    lanes = [Lane("weight_q", "act_out")] if stationary else [
        Lane("weight_q[7:0]", "act_q[7:0]"), Lane("weight_q[15:8]", "act_q[15:8]")
    ]
    bits = 8 * len(lanes)
    widths = dict.fromkeys(("weight_in", "weight_q", "act_in", "act_out", "act_q", "product_q"), bits)
    return MacDesign(
        name="toy", top="toy", folder=folder, sources=(), parameters={}, weight_mode=mode,  # type: ignore[arg-type]
        latency=1 if stationary else 3, clock="clk", reset="",
        roles={"weight": "weight_in", "activation": "act_in", "accumulator_in": "acc_in", "result": "acc_out"},
        hold={"enable": 1}, lanes=tuple(lanes), neighbours={"act_in": "act_out", "acc_in": "acc_out"},
        reference=folder / "reference.py", accumulator_bits=8,
        widths=widths | {"acc_in": 8, "acc_out": 8, "enable": 1, "shadow": 4},
        result_registers=("acc_out",) if stationary else ("product_q",), accumulator_latency=1,
    )


def toy_core(mode: str) -> TimedNetlist:
    """Return the core of a toy design; each register also drives its own hold, which nothing reads."""
    rng = np.random.default_rng(8)

    def made(net: str, truth: int, nets: list[str]) -> Gate:
        arcs = {place: float(rng.integers(10, 40)) for place in sensitized(truth, len(nets))}
        return gate(net, truth, nets, arcs, energy=(1.5, 2.5))

    lanes = 1 if mode == "stationary" else 2
    activation = "act_out" if mode == "stationary" else "act_q"
    names = [f"{bus}[{i}]" for bus in ("weight_q", activation) for i in range(8 * lanes)]
    names += [f"acc_out[{i}]" for i in range(8)] + [f"shadow[{i}]" for i in range(4)] + ["enable"]
    names += [f"product_q[{i}]" for i in range(16)] if lanes == 2 else []
    gates = [made(f"and{i}", AND2, [f"weight_q[{i}]", f"{activation}[{i}]"]) for i in range(8 * lanes)]
    sinks = [sink(f"and{i}", (3.0, 4.0), f"product_q[{i}]") for i in range(16)] if lanes == 2 else []
    for i in range(8):
        terms = [f"product_q[{i}]", f"product_q[{i + 8}]"] if lanes == 2 else [f"and{i}"]
        gates.append(made(f"xor{i}", XOR2 if lanes == 1 else 0b10010110, [f"acc_out[{i}]", *terms]))
        sinks.append(sink(f"xor{i}", (3.0, 4.0), f"acc_out[{i}]"))
    sources = [source(name, (5.0, 6.0), (0.25, 0.75)) for name in names]
    nets = [*names, *(g.net for g in gates)]
    loads = {net: float(load) for net, load in zip(nets, rng.integers(5, 20, len(nets)), strict=True)}
    return core(sources, gates, sinks, load_ff=loads, clock_energy_fj=7.0, voltage_v=1.8,
                input_energy_fj={"and0": np.array([0.5, -0.125])})
