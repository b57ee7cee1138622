"""Quantized layers at work in torch: integer products exactly, then scales, in an order that is always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from halo.activations import quantize_activations
from halo.errors import ModelError
from halo.layers import QuantizedLinear, QuantizedModel
from halo.model import transform_of

# 1024 products of 8 x 8 bits stay below 2^24: a float32 sum of them is exact in any order.
EXACT_ROWS = 1024
# As many stay below 2^31: an int32 sum of them is exact.
INTEGER_ROWS = 2**17 - 1
# What is made of so many tokens stays in the processor's cache, and in memory that need not be asked for anew.
TOKENS_AT_ONCE = 512


class Int8Linear(nn.Module):
    """A quantized linear: int8 activations, int8 codes, fp16 scales, int8 sparse part, float32 result.

    Each token has its activation scale, or all have the layer's.

    result = ((acc_0 x s_0 + acc_1 x s_1 + ...) + sparse acc x sparse scale) x token scale + bias, where `acc_f` are
    exact integers and the sum over folds runs from the first to the last. Codes are held as int8, multiplied as such
    where the processor can (`in_integers`) and else widened fold by fold: the sums are the same. The result has the
    type of the input; moving the module to another type leaves its own numbers as they are.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None
    sparse: torch.Tensor | None
    sparse_scales: torch.Tensor
    input_scales: torch.Tensor | None
    activation_scale: torch.Tensor | None

    def __init__(self, layer: QuantizedLinear, fold: int) -> None:
        super().__init__()
        self.out_features, self.in_features = layer.codes.shape
        self.fold = self.in_features if layer.per_channel else fold
        inputs, fixed = layer.input_scales, layer.activation_scale
        self.in_integers = multiplies_integers() and self.fold <= INTEGER_ROWS
        self.keep("codes", torch.from_numpy(layer.codes.copy()))
        self.keep("scales", torch.from_numpy(layer.scales.astype(np.float32).T.copy()))
        self.keep("bias", None if layer.bias is None else torch.from_numpy(layer.bias.astype(np.float32)))
        self.keep("sparse_scales", torch.from_numpy(layer.sparse_scales.astype(np.float32)))
        self.keep("sparse", sparse_matrix(layer))
        self.keep("activation_scale", None if fixed is None else torch.from_numpy(fixed.copy()))
        self.keep("input_scales", None if inputs is None else torch.from_numpy(inputs.astype(np.float32)))

    def keep(self, name: str, value: torch.Tensor | None) -> None:
        """Hold `value` under `name`: it moves with the module, and is no part of its state."""
        self.register_buffer(name, value, persistent=False)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Int8Linear:
        return super()._apply(keeping_types(fn), recurse)  # type: ignore[no-untyped-call, no-any-return]

    def integers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the int8 inputs for `x` `[..., in]`, held as float32 `[tokens, in]`, and their scales."""
        flat = x.flatten(0, -2).float()
        return quantize_activations(flat if self.input_scales is None else flat / self.input_scales,
                                    self.activation_scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output `[..., out]` for `x` `[..., in]`."""
        flat = x.flatten(0, -2)
        step = TOKENS_AT_ONCE if x.device.type == "cpu" else max(len(flat), 1)
        result = torch.cat([self.outputs(*self.integers(rows)).to(x.dtype) for rows in torch.split(flat, step)])
        return result.view(*x.shape[:-1], self.out_features)

    def outputs(self, values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Return float32 outputs `[tokens, out]` for int8 inputs, held as float32 `[tokens, in]`, and their scales."""
        total = torch.zeros(len(values), self.out_features, device=values.device)
        for index, product in enumerate(self.products(values)):
            total += product.mul_(self.scales[index])
        if self.sparse is not None:
            total += sparse_product(values, self.sparse) * self.sparse_scales
        total *= scale
        if self.bias is not None:
            total += self.bias
        return total

    def products(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        """Return the exact products of `values` and the codes fold by fold, each float32 `[tokens, out]`."""
        folds = [slice(start, start + self.fold) for start in range(0, self.in_features, self.fold)]
        if self.in_integers and values.device.type == "cpu":
            integers = values.to(torch.int8)
            return (torch._int_mm(integers[:, part], self.codes[:, part].T).float() for part in folds)
        return (exact_product(values[:, part], self.codes[:, part].float()) for part in folds)


def multiplies_integers() -> bool:
    """Return whether torch multiplies int8 exactly here: without VNNI its sums may overflow (pytorch #136746).

    A product that would overflow is asked too: `ONEDNN_MAX_CPU_ISA` forbids what the processor has.
    """
    if not (torch.backends.mkldnn.is_available() and torch.cpu.get_capabilities().get("avx512_vnni")):  # type: ignore[no-untyped-call]
        return False
    largest = torch.full((16, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest.T) == 127 * 127 * 64).all())


def keeping_types(fn: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `fn`, which moves tensors, but for their type: scales rounded to bf16 would be other scales."""

    def move(tensor: torch.Tensor) -> torch.Tensor:
        moved = fn(tensor)
        return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

    return move


def sparse_product(values: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
    """Return the integer products of values `[tokens, in]` and the sparse part `[out, in]`: `[tokens, out]`."""
    product: torch.Tensor = torch.sparse.mm(sparse, values.to(sparse.dtype).T)
    return product.T.float()


def sparse_matrix(layer: QuantizedLinear) -> torch.Tensor | None:
    """Return the sparse int8 values `[out, in]` in a float type in which their sums are exact; None where empty."""
    if len(layer.sparse_values) == 0:
        return None
    longest = int(np.bincount(layer.sparse_rows).max())
    dtype = torch.float32 if longest <= EXACT_ROWS else torch.float64
    index = torch.from_numpy(np.stack([layer.sparse_rows, layer.sparse_cols]).astype(np.int64))
    values = torch.from_numpy(layer.sparse_values.astype(np.float32)).to(dtype)
    return torch.sparse_coo_tensor(index, values, layer.codes.shape, check_invariants=True).coalesce()


def exact_product(values: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return values `[tokens, in]` x codes `[out, in]`, integers held as float32; rounded once where over 2^24."""
    if values.shape[1] <= EXACT_ROWS:
        return values @ codes.T
    total = torch.zeros(len(values), len(codes), dtype=torch.float64, device=values.device)
    for start in range(0, values.shape[1], EXACT_ROWS):
        part = slice(start, start + EXACT_ROWS)
        total += values[:, part] @ codes[:, part].T
    return total.float()


class Int8ActivationLinear(nn.Module):
    """A linear with its own float32 weights and int8 activations: what int8 activations alone cost."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @property
    def weight(self) -> torch.Tensor:
        """The linear's own, which some models multiply with themselves."""
        return self.linear.weight

    @property
    def bias(self) -> torch.Tensor | None:
        """The linear's own."""
        return self.linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output `[..., out]` for `x` `[..., in]`."""
        values, scale = quantize_activations(x)
        result: torch.Tensor = self.linear(values * scale)
        return result


def replace_module(model: nn.Module, name: str, part: nn.Module) -> None:
    """Put `part` in the place of the module called `name`."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, part)


@contextmanager
def swapped(model: nn.Module, parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Run the block with `parts` in place of the modules of the same names; then put those back."""
    before = {name: model.get_submodule(name) for name in parts}
    try:
        for name, part in parts.items():
            replace_module(model, name, part)
        yield
    finally:
        for name, part in before.items():
            replace_module(model, name, part)


def int8_parts(model: nn.Module, quantized: QuantizedModel) -> dict[str, nn.Module]:
    """Return the module that stands for each quantized layer, on the model's device.

    Raises:
        ModelError: the model has no such linear, or one of another shape, or layers were made for a transformed one.
    """
    if quantized.transform != transform_of(model):
        raise ModelError(f"{quantized.method}: made for the model after {quantized.transform or 'no transform'}, not "
                         f"after {transform_of(model) or 'none'}; load the whole folder with halo.load.")
    device = next(model.parameters()).device
    parts: dict[str, nn.Module] = {}
    modules = dict(model.named_modules())
    for layer in quantized.layers:
        linear = modules.get(layer.name)
        if not isinstance(linear, nn.Linear) or tuple(linear.weight.shape) != layer.codes.shape:
            shape = " x ".join(map(str, layer.codes.shape))
            raise ModelError(f"{layer.name}: the model has no nn.Linear of shape {shape} there; was the quantized "
                             "model made from another one?")
        parts[layer.name] = Int8Linear(layer, quantized.fold).to(device)
    return parts


def apply_(model: nn.Module, quantized: QuantizedModel) -> None:
    """Replace every quantized linear of `model` by its integer form, in place.

    Raises:
        ModelError: the model does not have the layers of `quantized`.
    """
    for name, part in int8_parts(model, quantized).items():
        replace_module(model, name, part)
