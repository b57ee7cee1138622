"""`characterize prove`: a plan's tiles on a gate-level array, at the planned periods, and where they would fail."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import LibertyPath, PdkRoot, WorkPath
from characterization.commands.progress import progress_bars
from characterization.errors import ArtifactError, SimulationError

if TYPE_CHECKING:
    from characterization.array_energy import ArrayBooks
    from characterization.prove import ClassProof
    from characterization.prove_plan import PlanProof

ARRAY = re.compile(r"(\d+)x(\d+)")
MOST_SIDE = 16
# Where no terminal tells.
WIDTH = 150


def prove(
    plan: Annotated[Path, typer.Argument(help="a plan's folder, with the vectors.nc that `halo` wrote beside it")],
    profile: Annotated[
        Path | None, typer.Option(help="the profile it was made from; default: DESIGN.nc in the run's folder")
    ] = None,
    array: Annotated[str, typer.Option(help="rows x columns: 4x4, 8x8")] = "4x4",
    tiles: Annotated[int, typer.Option(min=1, help="tiles of each clock class")] = 1,
    cycles: Annotated[int, typer.Option(min=1, help="array cycles for each clock class, at least")] = 20_000,
    icarus: Annotated[
        int, typer.Option(min=0, help="array cycles for each class held against Icarus, flop by flop; 0 for none")
    ] = 200,
    period: Annotated[float | None, typer.Option(help="ps, in place of the planned periods")] = None,
    activations: Annotated[
        Path | None, typer.Option(help="integers [steps, rows of a tile] in a .npy file, in place of the recorded ones")
    ] = None,
    design: Annotated[Path | None, typer.Option(help="the plan's design; default: rtl/NAME")] = None,
    array_rtl: Annotated[Path, typer.Option(help="Verilog of the array")] = Path("rtl/systolic_array"),
    pdk: Annotated[str | None, typer.Option("--pdk", help="the library; default: the profile's")] = None,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    seed: Annotated[int, typer.Option(help="seed of the states from which witnesses are entered")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="threads")] = 2,
    out: Annotated[
        Path | None, typer.Option(help="what was seen, as JSON; default: proof.json beside the plan, where `halo "
                                       "report` finds it, unless another clock or other activations are given")
    ] = None,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Run a plan's tiles on an array of gates at the planned clock, and compare every result with the integers.

    Flops corrupt what arrives within their setup window. Certificate witnesses run beside real data. Printed too: the
    period at which it fails, what a slow value outside each codebook does, and the array's energy against the tables.

    Example: `characterize prove build/demo/results/halo-bal --array 4x4 --tiles 1`
    """
    from characterization.artifact import digest_file
    from characterization.pipeline import select_pdk
    from characterization.profile_file import load_profile
    from characterization.proof_file import PROOF_FILE, save_proof
    from characterization.proof_vectors import VECTORS_FILE, load_vectors, read_activations
    from characterization.prove import ProveConfig
    from characterization.prove_plan import PlanProofConfig, check_origin, prove_plan, to_record

    rows, columns = array_size(array)
    if period is not None and not 0 < period < float("inf"):
        raise SimulationError(f"--period {period:g}: a clock needs a positive period, in picoseconds.")
    vectors = load_vectors(plan)
    folder = plan if plan.is_dir() else plan.parent
    vectors_digest = digest_file(plan / VECTORS_FILE if plan.is_dir() else plan)
    measured = load_profile(profile or profile_beside(folder, vectors.design))
    check_origin(vectors, measured)
    given = None
    if activations is not None and vectors.tiles:
        given = read_activations(activations, vectors.tiles[0].weights.shape[0], measured.head.activation_bits)
    config = PlanProofConfig(ProveConfig(rows, columns, tiles, cycles, seed, workers), icarus, period, given, array_rtl)
    library = select_pdk(pdk or measured.head.library, liberty, pdk_root)
    with progress_bars() as progress:
        found = prove_plan(vectors, measured, design or Path("rtl") / vectors.design, library, config, work, progress)
    show(vectors.method, array, found)
    if out is None and period is None and activations is None:
        out = folder / PROOF_FILE
    if out is not None:
        save_proof(to_record(vectors, vectors_digest, config, found), out)
        print(f"written: {out}")
    if failed := [one.timing.clock.name for one in found if not one.holds]:
        raise SimulationError(f"the plan of {vectors.method} is not proved: {', '.join(failed)}.")


def array_size(text: str) -> tuple[int, int]:
    """Return rows and columns.

    >>> array_size("4x8")
    (4, 8)

    Raises:
        SimulationError: it is no size.
    """
    match = ARRAY.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= MOST_SIDE or not 1 <= int(match[2]) <= MOST_SIDE:
        raise SimulationError(f"--array {text!r}: write rows and columns, 1 to {MOST_SIDE}, as 4x4 or 8x8.")
    return int(match[1]), int(match[2])


def profile_beside(folder: Path, design: str) -> Path:
    """Return the profile in a folder of a run, or above it.

    Raises:
        ArtifactError: there is none.
    """
    places = [place / f"{design}.nc" for place in (folder, *folder.resolve().parents[:2])]
    for path in places:
        if path.is_file():
            return path
    raise ArtifactError(f"no {design}.nc in {folder} or the two folders above it; name the plan's profile with "
                        "--profile.")


def show(method: str, array: str, found: Sequence[PlanProof]) -> None:
    """Print the proof of every class, the counterparts that must fail, and the energy."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    console.print(timing_table(method, array, [one.timing for one in found]))
    console.print(failing_table([one.timing for one in found]))
    console.print(energy_table([(one.timing.clock.name, one.books) for one in found]))
    for one in found:
        print(f"- {one.timing.clock.name}: {sentence(one)}")


def new_table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table, all but its first column numbers."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)
    for place, name in enumerate(columns):
        shown.add_column(name, justify="right" if place else "left", overflow="fold")
    return shown


def timing_table(method: str, array: str, proofs: Sequence[ClassProof]) -> Table:
    """Return what was seen at the planned periods."""
    shown = new_table(f"{method} on {array} elements of gates, ps", (
        "class", "corner", "period", "cycles", "results", "mismatches", "latest", "worst slack", "certified",
        "shortest working"))
    for one in proofs:
        run = one.planned
        shown.add_row(one.clock.name, one.clock.corner, f"{run.period_ps:.1f}", str(run.cycles), str(run.results),
                      str(run.mismatches), f"{run.latest_ps:.2f}", f"{run.slack_ps:.2f}", f"{one.clock.delay_ps:.2f}",
                      f"{one.shortest_ps:.2f}")
    return shown


def failing_table(proofs: Sequence[ClassProof]) -> Table:
    """Return what must fail, margin and jitter at zero."""
    shown = new_table("what must fail, nothing added to delays, ps", (
        "class", "period", "1 ps too short: wrong after cycles", "corrupted", "outside value", "its certificate",
        "class delay", "wrong results", "verdict"))
    for one in proofs:
        row = [one.clock.name, f"{one.early.period_ps:.2f}",
               str(one.early.cycles) if one.early.mismatches else "never", str(one.early.corrupted)]
        if one.outsider is None:
            row += ["-", "-", "-", "-", "has all values"]
        else:
            row += [str(one.outsider.weight), f"{one.outsider.certified_ps:.2f}", f"{one.clock.delay_ps:.2f}",
                    str(one.outsider.outcome.mismatches),
                    "hidden by margin: no gain" if one.outsider.hidden else "fails, as it must"]
        shown.add_row(*row)
    return shown


def energy_table(books: Sequence[tuple[str, ArrayBooks]]) -> Table:
    """Return the energies of the array and of the tables."""
    shown = new_table("energy, fJ per operation, leakage apart; loading per element and load", (
        "class", "array", "tables", "off", "profile's stimulus", "registers and clock", "all-zero matrix", "loading",
        "charged"))
    for name, one in books:
        shown.add_row(name, f"{one.array_fj:.1f}", f"{one.table_fj:.1f}", f"{one.error:+.1%}", f"{one.profile_fj:.1f}",
                      f"{one.register_fj / one.array_fj:.1%}", f"{one.zero_fj / one.array_fj:.2f}x",
                      f"{one.loading_fj:.1f}", f"{one.charged_loading_fj:.1f}")
    return shown


def sentence(one: PlanProof) -> str:
    """Return in words what a class's proof comes to."""
    timing = one.timing
    late = ", ".join(f"{weight}: {reached:.1f} of {certified:.1f}" for weight, certified, reached in timing.witnesses)
    words = [f"tiles {'; '.join(timing.tiles)}", f"witnesses reach (ps) {late}"]
    if one.icarus is not None:
        words.append(f"Icarus: {one.icarus.captures} captures of {one.icarus.cycles} array cycles, {one.icarus.differ} "
                     "differ")
    return ". ".join(words) + "."
