"""CornerGrid: the corners of a profile by process, temperature and voltage, and which of them counts at a voltage.

Between two voltages of the grid the next lower one counts, since cells only get faster with voltage. Nothing is
extrapolated: below the lowest voltage there is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from characterization.errors import ArtifactError

Speed = Literal["slow", "typical", "fast", "skewed"]
SAME_V = 1e-6
# What the supply may fall below its nominal voltage, as a share of it.
SUPPLY_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class SignOff:
    """What a nominal voltage is signed off at: the slowest of `corners` counts, value by value.

    Attributes:
        voltage_v: nominal.
        supply_v: the lowest that the supply may fall to.
        corners: of each slow process and temperature, the one at the next lower voltage of its grid.
    """

    voltage_v: float
    supply_v: float
    corners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CornerGrid:
    """Names, process, temperature and voltage of a profile's corners, in the same order."""

    names: tuple[str, ...]
    process: tuple[str, ...]
    temp_c: tuple[float, ...]
    voltage_v: tuple[float, ...]

    def of_speed(self, speed: Speed) -> tuple[int, ...]:
        """Return the positions of the corners of this speed."""
        return tuple(i for i, process in enumerate(self.process) if speed_of(process) == speed)

    def at(self, voltage_v: float, process: str = "tt", temp_c: float = 25.0) -> str:
        """Return the corner of this process and temperature at the next lower voltage of its grid.

        Raises:
            ArtifactError: there is none of this process and temperature, or none as low as `voltage_v`.
        """
        found = [i for i in range(len(self.names)) if (self.process[i], self.temp_c[i]) == (process, temp_c)]
        if not found:
            raise ArtifactError(f"no corner of process {process} at {temp_c:g} C in this profile; it has "
                                f"{', '.join(self.names)}.")
        return self.names[self.next_lower(found, voltage_v)]

    def next_lower(self, among: Sequence[int], voltage_v: float) -> int:
        """Return which of `among` has the highest voltage that is not above `voltage_v`.

        Raises:
            ArtifactError: all of them are above it.
        """
        below = [i for i in among if self.voltage_v[i] <= voltage_v + SAME_V]
        if not below:
            lowest = min(among, key=lambda i: self.voltage_v[i])
            kind = f"{self.process[lowest]} at {self.temp_c[lowest]:g} C"
            raise ArtifactError(f"{voltage_v:g} V is below {self.names[lowest]}, the lowest of {kind} in this profile; "
                                "nothing is extrapolated: characterize a lower voltage or plan a higher one.")
        return max(below, key=lambda i: self.voltage_v[i])

    def typical(self, voltage_v: float | None = None) -> int:
        """Return the position of the typical corner at exactly `voltage_v`; None means the only typical voltage.

        Energy at a lower voltage than asked would flatter, so here the next lower one does not do.

        Raises:
            ArtifactError: there is no typical corner, none at this voltage, or several and no voltage was named.
        """
        rooms = self.of_speed("typical")
        known = ", ".join(f"{self.voltage_v[i]:g} V ({self.names[i]})" for i in rooms)
        if not rooms:
            raise ArtifactError(f"no typical corner in this profile, and energies are taken there; it has "
                                f"{', '.join(self.names)}.")
        if voltage_v is None and len(rooms) > 1:
            raise ArtifactError(f"this profile has {len(rooms)} typical voltages and none was named: {known}.")
        found = [i for i in rooms if voltage_v is None or abs(self.voltage_v[i] - voltage_v) < SAME_V]
        if not found:
            raise ArtifactError(f"no typical corner at {voltage_v:g} V in this profile; it has {known}.")
        return min(found, key=lambda i: abs(self.temp_c[i] - 25.0))

    def sign_off(self, voltage_v: float, tolerance: float = SUPPLY_TOLERANCE) -> SignOff:
        """Return the slow corners at `voltage_v` less the supply's tolerance, one for each slow temperature.

        Raises:
            ArtifactError: there are no slow corners, or none as low.
        """
        slow = self.of_speed("slow")
        if not slow:
            raise ArtifactError(f"no slow corner in this profile, so that nothing can be signed off; it has "
                                f"{', '.join(self.names)}. Characterize with --signoff.")
        supply_v = voltage_v * (1 - tolerance)
        kinds = dict.fromkeys((self.process[i], self.temp_c[i]) for i in slow)
        chosen = [self.next_lower([i for i in slow if (self.process[i], self.temp_c[i]) == kind], supply_v)
                  for kind in kinds]
        return SignOff(voltage_v, supply_v, tuple(self.names[i] for i in chosen))


def speed_of(process: str) -> Speed:
    """Return how fast a process corner is; what is not known counts as typical, on which nothing is signed off.

    >>> [speed_of(process) for process in ("ss", "tt", "ff", "sf", "nominal")]
    ['slow', 'typical', 'fast', 'skewed', 'typical']
    """
    name = process.lower()
    if name.startswith(("ss", "slow")):
        return "slow"
    if name.startswith(("ff", "fast")):
        return "fast"
    return "skewed" if name.startswith(("sf", "fs")) else "typical"
