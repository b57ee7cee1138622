"""SecondMoment: the sum of x x^T over tokens, added in float64, of which only one triangle is held."""

from __future__ import annotations

from dataclasses import dataclass

import torch

PANEL = 1024


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """A running sum; half a gigabyte for 11008 inputs.

    Attributes:
        panels: float64, PANEL rows each from the diagonal on: `[PANEL, in]`, `[PANEL, in - PANEL]` and so on.
    """

    panels: list[torch.Tensor]

    def add(self, x: torch.Tensor, weights: torch.Tensor | None = None) -> None:
        """Add the products of `x` `[tokens, in]`, made in float32; each token's times its weight, `[tokens, 1]`."""
        weighted = x if weights is None else x * weights
        for at, panel in enumerate(self.panels):
            start = at * PANEL
            panel.add_((x[:, start : start + PANEL].T @ weighted[:, start:]).to(panel.device))

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the whole sum `[in, in]`; the panels are let go as it grows."""
        size = self.panels[0].shape[1]
        result = torch.empty(size, size, dtype=dtype, device=self.panels[0].device)
        while self.panels:
            panel = self.panels.pop()
            start, stop = size - panel.shape[1], size - panel.shape[1] + len(panel)
            result[start:stop, start:] = panel
            result[stop:, start:stop] = panel[:, len(panel) :].T
        return result


def no_moment(inputs: int, device: torch.device | str = "cpu") -> SecondMoment:
    """Return the sum over no tokens."""
    return SecondMoment([torch.zeros(min(PANEL, inputs - start), inputs - start, dtype=torch.float64, device=device)
                         for start in range(0, inputs, PANEL)])
