"""Quantization methods, one file each: a `Config` and `quantize_layer`. Found by name with `halo.plugins.resolve`."""

from __future__ import annotations

from typing import Any, Protocol

from halo.layer_task import LayerTask
from halo.layers import QuantizedLinear

__all__ = ["LayerTask", "Method"]


class Method(Protocol):
    """What a file of this folder has.

    Attributes:
        Config: a frozen dataclass of the method's options; where it has `propagate` set, tasks know their `drift`.
        sequential: whether its Hessians are of inputs that earlier, already quantized layers produce.
    """

    Config: type
    sequential: bool

    def quantize_layer(self, task: LayerTask, config: Any) -> QuantizedLinear:
        """Return the quantized layer of `task`."""
