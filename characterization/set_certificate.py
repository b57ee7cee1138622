"""SetCertificate: the delay proved for a set of weight values that launch together with the activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from characterization.artifact import digest_of
from characterization.errors import ArtifactError

SetMode = Literal["streaming", "swap"]
# Certified delays are exact to this; brackets are wider.
RESOLUTION_PS = 0.01


@dataclass(frozen=True, slots=True)
class SetCertificate:
    """No sequence of weights out of `codes` makes the design slower than `upper_ps`, whatever its other inputs do.

    >>> certificate = SetCertificate("tt", "streaming", (-64, 0, 64), 812.5, 812.5)
    >>> certificate.exact, certificate.covers({0, 64}), certificate.covers({1})
    (True, True, False)

    Attributes:
        corner: name of the profile's corner.
        mode: `streaming`: every cycle may bring any weight of the set; `swap`: the first cycle after a load without a
            bubble, old and new weight out of the set.
        codes: sorted weight values.
        upper_ps, lower_ps: what is proved, and what a witness attains; equal unless a time limit struck.
    """

    corner: str
    mode: SetMode
    codes: tuple[int, ...]
    upper_ps: float
    lower_ps: float

    def __post_init__(self) -> None:
        """Check order and bracket.

        Raises:
            ArtifactError: the codes are not sorted and unique, or the bracket is empty.
        """
        if not self.codes or list(self.codes) != sorted(set(self.codes)):
            raise ArtifactError(f"certificate at {self.corner}: codes {self.codes} must be sorted, unique, not empty.")
        if not 0 <= self.lower_ps <= self.upper_ps:
            raise ArtifactError(f"certificate at {self.corner}: attained {self.lower_ps} ps and proved {self.upper_ps} "
                                "ps contradict each other.")

    @property
    def exact(self) -> bool:
        """Whether a witness attains the bound."""
        return self.upper_ps - self.lower_ps <= RESOLUTION_PS

    @property
    def digest(self) -> str:
        """The digest of the codes, by which a certificate is found."""
        return codes_digest(self.codes)

    def covers(self, codes: Iterable[int]) -> bool:
        """Whether the certificate speaks for `codes`: what holds for a set holds for every part of it."""
        return set(codes) <= set(self.codes)

    def to_fields(self) -> dict[str, Any]:
        """Return the certificate as JSON, with its digest and whether it is exact for readers without us."""
        return asdict(self) | {"codes": list(self.codes), "digest": self.digest, "exact": self.exact}


def certificate_from(fields: dict[str, Any]) -> SetCertificate:
    """Return the certificate of saved fields."""
    return SetCertificate(fields["corner"], fields["mode"], tuple(fields["codes"]), fields["upper_ps"],
                          fields["lower_ps"])


def codes_digest(codes: Iterable[int]) -> str:
    """Return the digest of a set of codes, whatever its order."""
    return digest_of(sorted({int(code) for code in codes}))


def best_certificate(
    certificates: Sequence[SetCertificate], codes: Iterable[int], corner: str, mode: SetMode
) -> SetCertificate | None:
    """Return the lowest certificate that speaks for `codes`; None where there is none."""
    asked = {int(code) for code in codes}
    found = [item for item in certificates if (item.corner, item.mode) == (corner, mode) and item.covers(asked)]
    return min(found, key=lambda item: (item.upper_ps, item.codes), default=None)


def merge_certificates(
    old: Iterable[SetCertificate], new: Iterable[SetCertificate]
) -> tuple[SetCertificate, ...]:
    """Return all certificates, sorted; of two for the same corner, mode and codes the lower proof stays."""
    kept: dict[tuple[str, str, tuple[int, ...]], SetCertificate] = {}
    for item in (*old, *new):
        key = (item.corner, item.mode, item.codes)
        if key not in kept or item.upper_ps < kept[key].upper_ps:
            kept[key] = item
    return tuple(kept[key] for key in sorted(kept))
