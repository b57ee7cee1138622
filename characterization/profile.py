"""MacProfile: what the hardware half tells the model half. Delay and energy of every weight value, per corner.

A profile is one NetCDF file (`profile_file.py`), readable with xarray or ncdump.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from characterization.artifact import Provenance, digest_bytes, digest_of
from characterization.corner_grid import SUPPLY_TOLERANCE, CornerGrid, SignOff
from characterization.errors import ArtifactError
from characterization.pair_energy import PairEnergy
from characterization.profile_checks import check_order, check_table
from characterization.set_certificate import RESOLUTION_PS, SetCertificate, best_certificate, merge_certificates
from characterization.units import FJ_PER_NW_PS

# How a weight came to be where it is: constant for a full cycle at least, or launched with the activations.
WeightArrival = Literal["stationary", "swap"]
BoundKind = Literal["certified", "set certificate", "topological", "floor"]
# One corner by name, the slowest of several, or None: the only one.
Corners = str | Sequence[str] | None

WEIGHTS = np.arange(-128, 128)  # of an int8 design; other designs' values stand in their profile
QUANTILES = ("energy_p05_fj", "energy_p50_fj", "energy_p95_fj")
PER_WEIGHT = (
    "topological_ps", "sta_ps", "observed_ps", "energy_fj", "energy_std_fj", *QUANTILES, "register_energy_fj",
)  # fmt: skip
CERTIFIED = ("certified_ps", "certified_lower_ps", "swap_ps", "swap_lower_ps")
PER_CORNER = ("floor_ps", "free_ps", "leakage_nw", "voltage_v", "temp_c")
HOLD = ("hold_slack_ps", "tolerated_skew_ps")


def signed_values(bits: int) -> np.ndarray:
    """Return the values of a two's complement register of `bits` bits, in order.

    >>> signed_values(3).tolist()
    [-4, -3, -2, -1, 0, 1, 2, 3]
    """
    return np.arange(-(1 << bits - 1), 1 << bits - 1)


@dataclass(frozen=True, slots=True)
class ProfileHead:
    """What a profile is of: the MAC, its library, and how its numbers were had.

    Attributes:
        notes: what a reader must know of these numbers, one sentence each: stages that are missing, and why.
    """

    design: str
    weight_mode: Literal["stationary", "streaming"]
    weight_bits: int
    activation_bits: int
    accumulator_bits: int
    lanes: int
    library: str
    netlist_digest: str
    n_cells: int
    area_um2: float
    stimulus: str
    lookups_outside: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DelayBound:
    """A delay that nothing exceeds, and on what it rests.

    Attributes:
        corner: the corner that rules.
        exact: whether a witness attains it; a topological delay makes no such claim.
        codes: the set that a set certificate speaks for; () for other kinds.
    """

    delay_ps: float
    corner: str
    kind: BoundKind
    exact: bool = False
    codes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class MacProfile:
    """Delay and energy of every weight value of one MAC design.

    Arrays are float64; `[corner, weight]` runs over `corners` and `weights` in order. Delays are register to
    register: clk->q, path, and setup. Energy is of one operation, data, clock and registers together, leakage apart.
    Always observed <= certified <= topological: one delay set serves all three.

    Attributes:
        weights: the weight values, sorted, int64 `[weight]`.
        process, interpolated: of each corner; `interpolated` names the two corners between whose voltages it lies.
        topological_ps: longest path with the weight fixed, global slews, worst `when` `[corner, weight]`.
        sta_ps: the same as OpenSTA has it under case analysis `[corner, weight]`.
        observed_ps: latest settle time plus setup seen in timed simulation `[corner, weight]`.
        certified_ps, certified_lower_ps: proved for the weight constant since a full cycle, and what a witness attains;
            a corner without certificates is NaN throughout `[corner, weight]`.
        swap_ps, swap_lower_ps: the same in the first cycle after a load without the bubble, from any old weight.
        energy_fj, energy_std_fj: mean and standard deviation over simulated transitions `[corner, weight]`.
        energy_p05_fj, energy_p50_fj, energy_p95_fj: 5th, 50th and 95th percentile over them `[corner, weight]`.
        register_energy_fj: the part of `energy_fj` spent in clock pins and registers `[corner, weight]`.
        n_transitions: transitions simulated for each weight.
        floor_ps: what no weight can beat `[corner]`.
        free_ps: longest path with the weights free, launched at clk->q: any weights in any order keep it `[corner]`.
        leakage_nw, voltage_v, temp_c: `[corner]`.
        hold_slack_ps, tolerated_skew_ps: earliest arrival against hold, and the skew it can take; NaN where not
            checked, for which `head.notes` has the reason `[corner]`.
        certificates: of sets of values that launch with the activations.
        pairs: of a streaming MAC, energies by previous weight and weight; None where they were not measured.
    """

    head: ProfileHead
    weights: np.ndarray
    corners: tuple[str, ...]
    process: tuple[str, ...]
    interpolated: tuple[str, ...]
    topological_ps: np.ndarray
    sta_ps: np.ndarray
    observed_ps: np.ndarray
    certified_ps: np.ndarray
    certified_lower_ps: np.ndarray
    swap_ps: np.ndarray
    swap_lower_ps: np.ndarray
    energy_fj: np.ndarray
    energy_std_fj: np.ndarray
    energy_p05_fj: np.ndarray
    energy_p50_fj: np.ndarray
    energy_p95_fj: np.ndarray
    register_energy_fj: np.ndarray
    n_transitions: int
    floor_ps: np.ndarray
    free_ps: np.ndarray
    leakage_nw: np.ndarray
    voltage_v: np.ndarray
    temp_c: np.ndarray
    hold_slack_ps: np.ndarray
    tolerated_skew_ps: np.ndarray
    provenance: Provenance
    certificates: tuple[SetCertificate, ...] = ()
    pairs: PairEnergy | None = None

    def __post_init__(self) -> None:
        """Check shapes and physics, and make the arrays read-only.

        Raises:
            ArtifactError: a table has another shape or an impossible value, or delays contradict each other.
        """
        if self.weights.ndim != 1 or (np.diff(self.weights) <= 0).any():
            raise ArtifactError("weights of a profile must be sorted and unique.")
        self.weights.setflags(write=False)
        row, table = (len(self.corners),), (len(self.corners), self.weights.size)
        for name in (*PER_WEIGHT, *CERTIFIED):
            check_table(name, getattr(self, name), table, optional=name in CERTIFIED)
        for name in (*PER_CORNER, *HOLD):
            check_table(name, getattr(self, name), row, optional=name in HOLD, signed=name in {"temp_c", *HOLD})
        for name in ("process", "interpolated"):
            if len(getattr(self, name)) != len(self.corners):
                raise ArtifactError(f"{len(getattr(self, name))} values of {name} for {len(self.corners)} corners.")
        if self.pairs is not None and self.pairs.energy_fj.shape[:2] != table:
            raise ArtifactError(f"pair energies of {list(self.pairs.energy_fj.shape)} for {list(table)} corners and "
                                "weights.")
        if self.pairs is not None and self.pairs.lanes != self.head.lanes:
            raise ArtifactError(f"pair energies of {self.pairs.lanes} lanes for a MAC of {self.head.lanes}.")
        check_order(self)
        for item in self.certificates:
            self.check_certificate(item)

    @cached_property
    def grid(self) -> CornerGrid:
        """The corners by process, temperature and voltage."""
        return CornerGrid(self.corners, self.process, tuple(map(float, self.temp_c)), tuple(map(float, self.voltage_v)))

    @property
    def certified_exact(self) -> np.ndarray:
        """Whether a witness attains the certified delay, bool `[corner, weight]`; False without certificate."""
        return np.asarray(self.certified_ps - self.certified_lower_ps <= RESOLUTION_PS)

    @property
    def swap_exact(self) -> np.ndarray:
        """Whether a witness attains the swap delay, bool `[corner, weight]`."""
        return np.asarray(self.swap_ps - self.swap_lower_ps <= RESOLUTION_PS)

    @property
    def energy_sem_fj(self) -> np.ndarray:
        """Standard error of the mean energy `[corner, weight]`."""
        return np.asarray(self.energy_std_fj / np.sqrt(self.n_transitions))

    @property
    def digest(self) -> str:
        """The digest of what a plan rests on: the MAC, its corners, and every delay, energy and certificate."""
        names = (*PER_WEIGHT, *CERTIFIED, *PER_CORNER, *HOLD)
        arrays = [digest_bytes(np.ascontiguousarray(getattr(self, name)).tobytes()) for name in names]
        pairs = [] if self.pairs is None else [self.pairs.digest]
        return digest_of([self.head.design, self.head.netlist_digest, self.weights.tolist(), self.corners, self.process,
                          self.interpolated, arrays, [item.to_fields() for item in self.certificates], *pairs])

    def corner_index(self, corner: str | None = None) -> int:
        """Return the position of `corner`; None means the only one.

        Raises:
            ArtifactError: the profile has no such corner, or several and none was named.
        """
        if corner is None and len(self.corners) == 1:
            return 0
        if corner in self.corners:
            return self.corners.index(corner)
        raise ArtifactError(f"no corner {corner!r} in this profile; it has {', '.join(self.corners)}.")

    def corner_indices(self, corners: Corners) -> list[int]:
        """Return the positions of one corner or several."""
        named = [corners] if corners is None or isinstance(corners, str) else corners
        return [self.corner_index(corner) for corner in named]

    def at(self, voltage_v: float, process: str = "tt", temp_c: float = 25.0) -> str:
        """Return the corner of this process and temperature at the next lower voltage of its grid.

        Raises:
            ArtifactError: there is none, or `voltage_v` lies below the lowest; nothing is extrapolated.
        """
        return self.grid.at(voltage_v, process, temp_c)

    def signoff(self, voltage_v: float, tolerance: float = SUPPLY_TOLERANCE) -> SignOff:
        """Return the slow corners that `voltage_v` is signed off at: at `voltage_v` x (1 - `tolerance`), or next lower.

        Raises:
            ArtifactError: there is no slow corner, or none as low.
        """
        return self.grid.sign_off(voltage_v, tolerance)

    def positions(self, codes: Iterable[int]) -> np.ndarray:
        """Return where weight values stand on the weight axis.

        Raises:
            ArtifactError: a value is none of the profile's weights.
        """
        asked = np.asarray(list(codes), dtype=np.int64)
        found = np.searchsorted(self.weights, asked).clip(max=self.weights.size - 1)
        if (wrong := asked[self.weights[found] != asked]).size:
            raise ArtifactError(f"weight {wrong[0]} is none of the {self.weights.size} values of {self.head.design}, "
                                f"{self.weights[0]}..{self.weights[-1]}.")
        return np.asarray(found)

    def bound_ps(self, corner: Corners = None, arrival: WeightArrival = "stationary") -> np.ndarray:
        """Return the delay no stimulus exceeds, `[weight]`: certified where that is known, else topological.

        Of several corners the slowest counts, value by value. On a streaming design it only ranks values.
        """
        rows = [self.bound_row(index, arrival) for index in self.corner_indices(corner)]
        return np.asarray(np.max(rows, axis=0))

    def bound_row(self, index: int, arrival: WeightArrival) -> np.ndarray:
        """Return the bound at one corner, `[weight]`."""
        if arrival == "swap":
            return np.asarray(np.where(np.isnan(self.swap_ps[index]), self.free_ps[index], self.swap_ps[index]))
        proved = self.certified_ps[index]
        return np.asarray(np.where(np.isnan(proved), self.topological_ps[index], proved))

    def bound_of(
        self, codes: Iterable[int], corner: Corners = None, arrival: WeightArrival = "stationary"
    ) -> DelayBound:
        """Return the delay of a set of weight values, not below the floor; of several corners the slowest.

        Where weights launch with the activations, any value may follow any other: the set's own certificate counts, or
        that of a larger set, or else what all values need.
        """
        chosen = tuple(int(code) for code in codes)
        bounds = [self.bound_at(chosen, index, arrival) for index in self.corner_indices(corner)]
        return max(bounds, key=lambda bound: bound.delay_ps)

    def bound_at(self, codes: tuple[int, ...], index: int, arrival: WeightArrival) -> DelayBound:
        """Return the delay of a set of values at one corner."""
        corner, floor_ps = self.corners[index], float(self.floor_ps[index])
        streams = self.head.weight_mode == "streaming"
        options = [] if streams else [self.slowest_value(codes, index, arrival)]
        if streams or arrival == "swap":
            options.append(DelayBound(float(self.free_ps[index]), corner, "topological"))
            own = best_certificate(self.certificates, codes, corner, "streaming" if streams else "swap")
            if own is not None:
                options.append(DelayBound(own.upper_ps, corner, "set certificate", own.exact, own.codes))
        # On a tie the better founded one speaks.
        bound = min(options, key=lambda option: (option.delay_ps, option.kind == "topological"))
        return bound if bound.delay_ps >= floor_ps else DelayBound(floor_ps, corner, "floor")

    def slowest_value(self, codes: tuple[int, ...], index: int, arrival: WeightArrival) -> DelayBound:
        """Return the bound of the slowest of some values, each by itself."""
        at = self.positions(codes)
        worst = at[self.bound_row(index, arrival)[at].argmax()]
        proved, exact = ((self.swap_ps, self.swap_exact) if arrival == "swap"
                         else (self.certified_ps, self.certified_exact))
        certified = not np.isnan(proved[index, worst])
        return DelayBound(float(self.bound_row(index, arrival)[worst]), self.corners[index],
                          "certified" if certified else "topological", bool(exact[index, worst]))

    def worst_ps(self, codes: Iterable[int], corner: Corners = None, arrival: WeightArrival = "stationary") -> float:
        """Return the delay of a set of weight values, not below the floor; see `bound_of`."""
        return self.bound_of(codes, corner, arrival).delay_ps

    def operation_energy_fj(self, period_ps: float, corner: str | None = None) -> np.ndarray:
        """Return energy per operation with leakage over `period_ps`, `[weight]`."""
        index = self.corner_index(corner)
        leakage_fj = float(self.leakage_nw[index]) * period_ps * FJ_PER_NW_PS
        return np.asarray(self.energy_fj[index] + leakage_fj)

    def pair_fj(self, corner: str | None = None) -> np.ndarray | None:
        """Return the energy of an operation all lanes of which move alike, `[previous weight, weight]`.

        None where it was not measured: of a MAC that holds its weights, or at a corner that plans take no energy from.
        """
        index = self.corner_index(corner)
        return None if self.pairs is None or not self.pairs.known[index] else self.pairs.operation_fj(index)

    def fastest(self, count: int, corner: Corners = None, arrival: WeightArrival = "stationary") -> np.ndarray:
        """Return the `count` fastest weight values, sorted; ties go to the smaller magnitude."""
        delay = self.bound_ps(corner, arrival)
        order = np.lexsort((self.weights < 0, np.abs(self.weights), delay))
        return np.sort(self.weights[order[:count]])

    def check_certificate(self, item: SetCertificate) -> None:
        """Check that a set certificate can be of this profile.

        Raises:
            ArtifactError: its corner or a value is unknown, or it exceeds what all values need.
        """
        index = self.corner_index(item.corner)
        self.positions(item.codes)
        if item.upper_ps > self.free_ps[index] + RESOLUTION_PS:
            found = f"the certificate of {len(item.codes)} values, {item.upper_ps:.2f} ps"
            raise ArtifactError(f"corner {item.corner}: {found}, exceeds the longest path, "
                                f"{self.free_ps[index]:.2f} ps; was it made for this netlist?")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one plain row per corner and weight, for CSV and tables; what is not known is empty."""
        for c, corner in enumerate(self.corners):
            place: dict[str, Any] = {"process": self.process[c], "interpolated": self.interpolated[c]}
            place["interpolated"] = self.interpolated[c]
            place |= {name: plain(getattr(self, name)[c]) for name in (*PER_CORNER, *HOLD)}
            for w, weight in enumerate(self.weights):
                values = {name: plain(getattr(self, name)[c, w]) for name in (*PER_WEIGHT, *CERTIFIED)}
                values["energy_sem_fj"] = plain(self.energy_sem_fj[c, w])
                exact = {"certified_exact": int(self.certified_exact[c, w]), "swap_exact": int(self.swap_exact[c, w])}
                yield {"corner": corner, "weight": int(weight), **values, **exact, **place}


def plain(value: float) -> float | str:
    """Return a number for CSV, '' for NaN."""
    return "" if np.isnan(value) else float(value)


def add_certificates(profile: MacProfile, certificates: Iterable[SetCertificate]) -> MacProfile:
    """Return `profile` with set certificates added; of two for the same corner, mode and codes the lower proof stays.

    Raises:
        ArtifactError: a certificate cannot be of this profile.
    """
    return replace(profile, certificates=merge_certificates(profile.certificates, certificates))


def head_fields(head: ProfileHead) -> dict[str, Any]:
    """Return a head as JSON."""
    return asdict(head)


def head_from(fields: dict[str, Any]) -> ProfileHead:
    """Return the head of saved fields."""
    return ProfileHead(**{**fields, "notes": tuple(fields["notes"])})
