"""Budgets: how much time, energy, storage or perplexity a quantized model may take, as a person writes them."""

from __future__ import annotations

from dataclasses import dataclass

from halo.errors import ConfigError

FORM = "--budget is of the form time=0.8, energy=0.6, bits=3.5 or ppl=+0.5%, several joined by commas"


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limits; infinite where there is none.

    Attributes:
        time: of the loads' clocks, over the clock of all values.
        energy: of the MACs' operations, over W8A8's.
        bits: effective bits per weight, the sparse part apart.
        perplexity: share above the original model's, on the calibration text.
    """

    time: float = float("inf")
    energy: float = float("inf")
    bits: float = float("inf")
    perplexity: float = float("inf")

    @property
    def label(self) -> str:
        """The name of what keeps it."""
        parts = {"time": self.time, "energy": self.energy, "bits": self.bits, "ppl": self.perplexity}
        return "halo-" + "-".join(f"{name}{limit:g}" for name, limit in parts.items() if limit != float("inf"))


def parse_budget(text: str) -> Budget:
    """Return the budget that `text` writes.

    >>> parse_budget("energy=0.6,ppl=+0.5%")
    Budget(time=inf, energy=0.6, bits=inf, perplexity=0.005)

    Raises:
        ConfigError: it is of another form, or a limit is not positive.
    """
    names = {"time": "time", "energy": "energy", "bits": "bits", "ppl": "perplexity"}
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        share = value.endswith("%")
        try:
            limit = float(value.removesuffix("%")) / (100.0 if share else 1.0)
        except ValueError:
            limit = -1.0
        if not equals or name not in names or not 0 < limit < float("inf") or names[name] in limits:
            raise ConfigError(f"{part.strip() or text!r}: {FORM}.")
        limits[names[name]] = limit
    return Budget(**limits)
