"""Smoothing (SmoothQuant, ICML 2023): inputs divided by a scale per channel that the weights take over.

s_j = max|x_j|^a / max|w_j|^(1 - a) over calibration tokens and the outputs of all linears that read the channel. It is
folded into what comes before: a norm's weight, v_proj for the attention's output, up_proj for down_proj.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from halo.block_wiring import Wiring, source_channels, wire
from halo.blocks import Arguments, enter, run_block
from halo.equal_model import Change, Changes
from halo.model import choose_device, decoder_blocks
from halo.sensitivity import Progress, hooked
from halo.streaming import held
from halo.tokens import TokenWindows

BATCH = 8


def smooth(model: nn.Module, tokens: TokenWindows, strength: float, progress: Progress | None = None) -> Changes:
    """Return the changes that smooth the inputs of every linear of which it is known what feeds it.

    Args:
        model: left as it was.
        tokens: whose inputs count.
        strength: a; 1 leaves all channels' inputs equally large, 0 their weights.
        progress: called with blocks done and blocks in all.
    """
    prefix, blocks = decoder_blocks(model)
    device = next(model.parameters()).device
    entered = enter(model, blocks, torch.split(torch.tensor(tokens.ids).to(device), BATCH))
    changes: dict[str, Change] = {}
    with torch.no_grad():
        for index, block in enumerate(blocks):
            given = [arguments[index] for arguments in entered.arguments]
            with held(block, choose_device()):
                wiring = wire(block, entered.hidden[0], given[0], model.config)
                peaks = take_peaks(block, wiring.linears, entered.hidden, given)
                entered.hidden = [run_block(block, hidden, arguments)
                                  for hidden, arguments in zip(entered.hidden, given, strict=True)]
                own = smooth_block(block, wiring, peaks, strength, model.config)
            changes |= {f"{prefix}.{index}.{name}": change for name, change in own.items()}
            if progress:
                progress(index + 1, len(blocks))
    return Changes(changes, {})


def take_peaks(
    block: nn.Module, linears: Mapping[str, nn.Linear], hidden: Iterable[torch.Tensor], given: Iterable[Arguments]
) -> dict[str, torch.Tensor]:
    """Return the largest magnitude of each input channel of the linears that are called, float64 `[in]`."""
    peaks: dict[str, torch.Tensor] = {}

    def make(name: str) -> Any:
        def note(_: nn.Module, args: tuple[torch.Tensor, ...], __: torch.Tensor) -> None:
            peak = args[0].flatten(0, -2).abs().amax(0).double().cpu()
            peaks[name] = torch.maximum(peaks[name], peak) if name in peaks else peak

        return note

    with hooked(linears, make):
        for each, arguments in zip(hidden, given, strict=True):
            run_block(block, each, arguments)
    return peaks


def smooth_block(
    block: nn.Module, wiring: Wiring, peaks: Mapping[str, torch.Tensor], strength: float, config: Any
) -> dict[str, Change]:
    """Return the changes of one block's weights, by name within it."""
    rows: dict[str, torch.Tensor] = {}
    columns: dict[str, torch.Tensor] = {}
    for norm, names in wiring.readers.items():
        weights = torch.stack([column_peaks(wiring.linears[name]) for name in names]).amax(0)
        scales = scales_of(peaks[names[0]], weights, strength)
        rows[norm] = 1 / scales
        columns |= dict.fromkeys(names, scales)
    for name, source in wiring.before.items():
        if name not in peaks:
            continue
        linear, n_source = wiring.linears[name], wiring.linears[source].out_features
        origin = source_channels(linear.in_features, n_source, config)
        order = origin.argsort(stable=True)  # the inputs of one output of the source stand together
        inputs, weights = (each[order].view(n_source, -1).amax(1)
                           for each in (peaks[name], column_peaks(linear)))
        scales = scales_of(inputs, weights, strength)
        rows[source], columns[name] = 1 / scales, scales[origin]
    modules = dict(block.named_modules())
    return {f"{name}.{part}": scaling(rows.get(name), columns.get(name) if part == "weight" else None)
            for name in rows.keys() | columns.keys() for part in modules[name]._parameters
            if modules[name]._parameters[part] is not None and (name in rows or part == "weight")}


def column_peaks(linear: nn.Linear) -> torch.Tensor:
    """Return the largest magnitude of the weights of each input, float64 `[in]`."""
    return linear.weight.detach().abs().amax(0).double().cpu()


def scales_of(inputs: torch.Tensor, weights: torch.Tensor, strength: float) -> torch.Tensor:
    """Return s of every channel, their geometric mean 1; 1 where inputs or weights are all zero."""
    live = (inputs > 0) & (weights > 0)
    logs = torch.where(live, strength * torch.where(live, inputs, 1.0).log()
                       - (1 - strength) * torch.where(live, weights, 1.0).log(), 0.0)
    if bool(live.any()):
        logs = torch.where(live, logs - logs[live].mean(), 0.0)
    return logs.exp()


def scaling(rows: torch.Tensor | None, columns: torch.Tensor | None) -> Change:
    """Return the change that scales outputs (dimension 0) and inputs (dimension 1)."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if rows is not None:
            tensor = tensor * rows.view(-1, *[1] * (tensor.dim() - 1))
        return tensor if columns is None else tensor * columns

    return change
