"""Round to nearest, one scale per output channel, no calibration: W8A8, W4A8, W3A8."""

from __future__ import annotations

from dataclasses import dataclass

from halo.layer_task import LayerTask, finish, no_sparse
from halo.layers import QuantizedLinear
from halo.rounding import nearest, round_scales

sequential = False


@dataclass(frozen=True, slots=True)
class Config:
    """Round to nearest has no options."""


def quantize_layer(task: LayerTask, config: Config) -> QuantizedLinear:  # noqa: ARG001  the protocol's signature
    """Return the layer with scale = absmax / half the codebook's range, the rule of compressed-tensors.

    Raises:
        ConfigError: the tiles use several codebooks.
    """
    codes = task.only_codes()
    half_range = float(codes[-1] - codes[0]) / 2 + float((codes[1:] - codes[:-1]).min()) / 2
    absmax = task.weight.abs().amax(1, keepdim=True)
    scales = round_scales((absmax / half_range).masked_fill(absmax == 0, 1.0), task.name)
    return finish(task, nearest(task.weight / scales, codes), scales, no_sparse(task.weight), "")
