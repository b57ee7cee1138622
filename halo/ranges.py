"""range_grid(): how far the ratios of a comparison move with what nobody knows exactly. Ranges, not single figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from characterization.errors import ArtifactError
from characterization.profile import MacProfile
from halo.comparison import compare_models, find, unchanged
from halo.contenders import Contender
from halo.loads import ModelLoads
from halo.operating_point import PointConfig
from halo.page import Grid
from halo.plan import DvfsConfig
from halo.workload import Workload


@dataclass(frozen=True, eq=False)
class Variant:
    """One thing changed.

    Attributes:
        profile: in place of every contender's; None for their own.
    """

    name: str
    points: PointConfig
    config: DvfsConfig
    profile: MacProfile | None = None


def variants(
    points: PointConfig, config: DvfsConfig, profiles: Mapping[str, MacProfile] | None = None
) -> tuple[Variant, ...]:
    """Return what is varied, one thing at a time, the case as given first; `profiles` are other ones by name."""
    margins = [Variant(f"margin {margin:.0%}", replace(points, margin=margin), config) for margin in (0.0, 0.1, 0.2)]
    return (
        Variant("as given", points, config), *margins,
        Variant("no jitter, no skew", replace(points, jitter_ps=0.0, skew_ps=0.0), config),
        Variant("no cap by what is not the MAC", replace(points, cap_ghz=0.0), config),
        Variant("supply may fall by 10 %", replace(points, tolerance=0.1), config),
        Variant("typical corner, not signed off", replace(points, signoff=False), config),
        Variant("no bubble per load", replace(points, bubble=False), config),
        Variant("off-chip regulator", points, replace(config, switch="off-chip")),
        Variant("array drains at changes", points, replace(config, change="drain")),
        *(Variant(name, points, config, profile) for name, profile in (profiles or {}).items()),
    )


def range_grid(
    contenders: Mapping[str, Contender], points: PointConfig, config: DvfsConfig, work: Workload,
    progress: Callable[[int, int], None] | None = None, *, profiles: Mapping[str, MacProfile] | None = None,
    reshape: Callable[[ModelLoads], ModelLoads] = unchanged, note: str = "",
) -> Grid:
    """Return a row per variant: each method's time at one voltage and energies at one throughput, over the baseline's.

    The baseline is planned anew in each variant. What the profile cannot answer is said in its row.
    """
    labels, rows, found, said = list(contenders), [], [], ""
    chosen = variants(points, config, profiles)
    for done, variant in enumerate(chosen):
        there = contenders
        if variant.profile is not None:
            there = {label: replace(who, profile=variant.profile) for label, who in contenders.items()}
        try:
            made = compare_models(there, variant.points, variant.config, work, with_front=False, reshape=reshape,
                                  note=note)
        except ArtifactError:
            rows.append((variant.name, *["not in the profile"] * (3 * len(labels) - 3)))
        else:
            base, said = made.base.report.total("all"), said or made.note
            figures = []
            for label in labels[1:]:
                plain, bought = (find(made, mode, label) for mode in ("one voltage", "one throughput"))
                figures += [plain.report.total("all").total_s / base.total_s, bought.array_fj / made.base.array_fj,
                            bought.report.total("all").energy.total_fj / base.energy.total_fj]
            found.append(figures)
            rows.append((variant.name, *(f"{figure:.3f}" for figure in figures)))
        if progress:
            progress(done + 1, len(chosen))
    columns = tuple(zip(*found, strict=True))
    rows.append(("range", *(f"{min(column):.3f} .. {max(column):.3f}" for column in columns)))
    heads = (f"{label}: {what}" for label in labels[1:] for what in
             ("time", "array energy at one throughput", "energy at one throughput"))
    design = contenders[labels[0]].profile.head.design
    caption = f"{design}: ratios to {labels[0]}, planned anew in each row. As given: {said}"
    return Grid(("varied", *heads), tuple(rows), caption.strip())
