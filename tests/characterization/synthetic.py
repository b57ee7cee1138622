"""Made-up profiles: any corners, any weights, delays and energies that grow with the number of set bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from characterization.artifact import Provenance
from characterization.profile import WEIGHTS, MacProfile, ProfileHead

TT = (("tt", "tt", 25.0, 1.8),)
MANY = (("tt_025C_1v80", "tt", 25.0, 1.8), ("tt_025C_1v50", "tt", 25.0, 1.5), ("tt_025C_1v20", "tt", 25.0, 1.2),
        ("ss_n40C_1v60", "ss", -40.0, 1.6), ("ss_n40C_1v70", "ss", -40.0, 1.7), ("ss_100C_1v60", "ss", 100.0, 1.6),
        ("ff_n40C_1v95", "ff", -40.0, 1.95))


def synthetic_profile(
    corners: Sequence[tuple[str, str, float, float]] = TT, weights: np.ndarray = WEIGHTS,
    certified: float | None = None, weight_mode: str = "stationary", **changes: object,
) -> MacProfile:
    """A profile of `corners` (name, process, temperature, voltage); `certified` is a share of the topological delay."""
    bits = np.array([bin(int(w) & 255).count("1") for w in weights], float)
    slower = np.array([(1.8 / volt) ** 1.5 * (1.3 if process == "ss" else 1.0) for _, process, _, volt in corners])
    share = np.array([(volt / 1.8) ** 2 for *_, volt in corners])

    def table(row, factor):
        return factor[:, None] * row

    topological = table(1000 + 50 * bits, slower)
    proved = np.full(topological.shape, np.nan) if certified is None else certified * topological
    unknown = np.full(topological.shape, np.nan)
    head = ProfileHead("toy", weight_mode, 8, 8, 24, 1, "toylib", "ab" * 32, 10, 100.0, "seeded", 0, ("made up",))
    fields: dict[str, object] = dict(
        head=head, weights=np.array(weights), corners=tuple(name for name, *_ in corners),
        process=tuple(process for _, process, *_ in corners), interpolated=("",) * len(corners),
        topological_ps=topological, sta_ps=topological * 0.99, observed_ps=topological * 0.8,
        certified_ps=proved, certified_lower_ps=proved.copy(), swap_ps=unknown.copy(), swap_lower_ps=unknown.copy(),
        energy_fj=table(100 + 10 * bits, share), energy_std_fj=table(5 + bits, share),
        energy_p05_fj=table(92 + 8 * bits, share), energy_p50_fj=table(100 + 10 * bits, share),
        energy_p95_fj=table(108 + 12 * bits, share),
        register_energy_fj=table(40 + 0 * bits, share), n_transitions=300, floor_ps=900.0 * slower,
        free_ps=1450.0 * slower, leakage_nw=10.0 * share, voltage_v=np.array([volt for *_, volt in corners]),
        temp_c=np.array([temp for *_, temp, _ in corners]), hold_slack_ps=np.full(len(corners), np.nan),
        tolerated_skew_ps=np.full(len(corners), np.nan), provenance=Provenance("profile", {"netlist": "ab"}),
    )
    return MacProfile(**{**fields, **changes})
