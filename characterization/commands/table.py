"""`characterize table`: a profile in the terminal, or as CSV."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import ProfilePath

if TYPE_CHECKING:
    from characterization.profile import MacProfile


def table(
    profile: ProfilePath,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV of every corner and weight, for machines")] = False,
) -> None:
    """Print a profile: a summary, or every row as CSV.

    Example: `characterize table build/systolic_pe.nc --csv > systolic_pe.csv`
    """
    from characterization.profile_file import load_profile

    loaded = load_profile(profile)
    if not as_csv:
        Console().print(summary_table(loaded))
        return
    rows = list(loaded.rows())
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def summary_table(profile: MacProfile) -> Table:
    """Return the closing table: worst delay, the fastest 9 and 16 values, floor, energy, area; one row per corner."""
    head = profile.head
    title = f"{head.design} on {head.library}: {head.n_cells} cells, {head.area_um2:.0f} um2"
    caption = (
        "delay bounds in ps, register to register, of the slowest, the 9th and the 16th fastest weight (c certified, t "
        "topological; * cells between two characterized voltages); seen: latest in simulation; energy in fJ per "
        f"operation, regs: the share of clock and registers. {head.stimulus}. "
        f"{' '.join((*head.notes, *pair_words(profile)))}"
    )
    shown = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, pad_edge=False,
                  collapse_padding=True)
    shown.add_column("corner", no_wrap=True)
    for name in ("worst", "9th", "16th", "floor", "seen", "hold", "energy", "w=0", "regs"):
        shown.add_column(name, justify="right", overflow="fold")
    for index in range(len(profile.corners)):
        shown.add_row(*summary_row(profile, index))
    return shown


def pair_words(profile: MacProfile) -> tuple[str, ...]:
    """Return what is known of a streaming MAC's energy by previous weight and weight, a sentence for each corner."""
    pairs = profile.pairs
    if pairs is None:
        streams = profile.head.weight_mode == "streaming"
        return ("No energies by previous weight and weight: `characterize run --pairs`.",) if streams else ()
    import numpy as np

    found = []
    for index in map(int, np.flatnonzero(pairs.known)):
        alike = np.ones(pairs.energy_fj.shape[1:])
        mean = pairs.mean_fj(index, alike)
        low, high = (float(np.quantile(pairs.operation_fj(index), level)) for level in (0.05, 0.95))
        error = np.median(pairs.sem_fj[index] / pairs.energy_fj[index])
        found.append(
            f"{profile.corners[index]}: {alike.size} pairs of previous weight and weight, {pairs.transitions} "
            f"transitions of each, standard error {error:.1%} of a pair (median); with all lanes moving alike "
            f"{mean:.0f} +- {pairs.mean_sem_fj(index, alike):.0f} fJ on average, {low:.0f} to {high:.0f} fJ from the "
            "5th to the 95th percentile.")
    return tuple(found)


def summary_row(profile: MacProfile, index: int) -> tuple[str, ...]:
    """Return one corner's row of the closing table."""
    corner = profile.corners[index]
    bound, energy, zero = profile.bound_ps(corner), profile.energy_fj[index], profile.weights == 0
    share, ranked = profile.register_energy_fj[index].mean() / energy.mean(), sorted(bound)
    kind = "c" if profile.certified_ps[index, 0] >= 0 else "t"
    hold = f"{profile.hold_slack_ps[index]:.0f}"
    return (
        corner + "*" * bool(profile.interpolated[index]), f"{bound.max():.0f}{kind}", nth(ranked, 9), nth(ranked, 16),
        f"{profile.floor_ps[index]:.0f}", f"{profile.observed_ps[index].max():.0f}",
        "-" if hold == "nan" else hold, f"{energy.mean():.0f}",
        f"{energy[zero][0]:.0f}" if zero.any() else "-", f"{share:.0%}",
    )  # fmt: skip


def nth(ranked: list[float], count: int) -> str:
    """Return the `count`-th of sorted delays; '-' where there are fewer."""
    return f"{ranked[count - 1]:.0f}" if len(ranked) >= count else "-"
