"""record_vectors(): tiles of every clock class with the int8 activations that they met, for `characterize prove`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from characterization.artifact import Provenance
from characterization.profile import MacProfile
from characterization.proof_vectors import ProofClass, ProofTile, ProofVectors
from halo.activations import HALF_RANGE, quantize_activations
from halo.layers import QuantizedLinear, QuantizedModel
from halo.plan import ClockClass, DvfsPlan
from halo.runtime import Int8Linear, int8_parts, swapped
from halo.tokens import TokenWindows

HEAD = "lm_head"


@dataclass(frozen=True, slots=True)
class ProofConfig:
    """How much is recorded for each clock class.

    Attributes:
        tiles: spread evenly over all tiles of the class, in forward order.
        tokens: of the first window of the text.
    """

    tiles: int = 4
    tokens: int = 256


@dataclass(frozen=True, slots=True)
class Place:
    """A tile in a matrix: its module, and its first row (input) and column (output)."""

    layer: str
    row: int
    column: int


def record_vectors(
    model: nn.Module, quantized: QuantizedModel, plan: DvfsPlan, profile: MacProfile, tokens: TokenWindows,
    config: ProofConfig | None = None,
) -> ProofVectors:
    """Return tiles of every clock class that a plan uses, and the activations of a text that streamed through them.

    A class that no tile uses is that of the head, which runs as W8A8: its weights are rounded as such.
    """
    config = config or ProofConfig()
    layers = {layer.name: layer for layer in quantized.layers}
    clocks = used_clocks(plan)
    places = {name: tiles_of(quantized, item.name, config.tiles) for name, item in clocks.items()}
    tile_in, tile_out = quantized.layers[0].tiles.tile_in, quantized.layers[0].tiles.tile_out
    head = head_codes(model)
    for name, found in places.items():
        if not found and head is not None:
            places[name] = spread_places(HEAD, head.shape, tile_in, tile_out, config.tiles)
    wanted = sorted({place.layer for found in places.values() for place in found})
    met = record_activations(model, quantized, wanted, tokens, config.tokens)
    tiles = []
    for name, found in places.items():
        for place in found:
            codes = layers[place.layer].codes if place.layer in layers else head
            assert codes is not None, "only layers and the head have places"
            tiles.append(cut_tile(name, place, codes, met[place.layer], (tile_in, tile_out),
                                  running=runs_on(layers.get(place.layer), quantized.fold)))
    return ProofVectors(
        profile.head.design, profile.digest, profile.head.netlist_digest, plan.method,
        tuple(proof_class(name, item, profile) for name, item in clocks.items()),
        tuple(tiles), Provenance("proof vectors", {"plan": plan.provenance.key, "text": tokens.digest},
                                 {"tiles": config.tiles, "tokens": config.tokens}),
    )


def used_clocks(plan: DvfsPlan) -> dict[str, ClockClass]:
    """Return the clock classes that a plan's loads run in, by name; with the voltage where a codebook has several."""
    used = {(segment.codebook, segment.voltage_v) for segment in plan.segments}
    found = [item for item in plan.clocks if (item.name, item.voltage_v) in used]
    twice = {name for name, count in Counter(item.name for item in found).items() if count > 1}
    return {f"{item.name} at {item.voltage_v:g} V" if item.name in twice else item.name: item for item in found}


def proof_class(name: str, item: ClockClass, profile: MacProfile) -> ProofClass:
    """Return a clock class as the gates' side knows it."""
    typical = profile.corners[profile.grid.typical(item.voltage_v)]
    return ProofClass(name, item.codes, item.voltage_v, item.period_ps, item.delay_ps, item.corner, typical)


def runs_on(layer: QuantizedLinear | None, fold: int) -> bool:
    """Whether the array's sums run on from one fold to the next: one scale per channel over several folds."""
    return layer is not None and layer.per_channel and layer.codes.shape[1] > fold


def tiles_of(quantized: QuantizedModel, name: str, count: int) -> list[Place]:
    """Return some tiles that use a codebook, spread evenly over all of them; whole tiles where there are any."""
    books = [book.name for book in quantized.codebooks]
    if name not in books:
        return []
    found, whole = [], []
    for layer in quantized.layers:
        tile_in, tile_out = layer.tiles.tile_in, layer.tiles.tile_out
        for block_out, block_in in np.argwhere(layer.tiles.classes == books.index(name)).tolist():
            place = Place(layer.name, block_in * tile_in, block_out * tile_out)
            found.append(place)
            if place.row + tile_in <= layer.codes.shape[1] and place.column + tile_out <= layer.codes.shape[0]:
                whole.append(place)
    return spread(whole or found, count)


def spread_places(name: str, shape: Sequence[int], tile_in: int, tile_out: int, count: int) -> list[Place]:
    """Return some tiles of a matrix `[out, in]`, spread evenly."""
    return spread([Place(name, row, column) for column in range(0, shape[0], tile_out)
                   for row in range(0, shape[1], tile_in)], count)


def spread(places: list[Place], count: int) -> list[Place]:
    """Return `count` places, evenly spread; all if there are fewer."""
    at = np.linspace(0, len(places) - 1, min(count, len(places)))
    return [places[int(index)] for index in np.round(at)]


def head_codes(model: nn.Module) -> np.ndarray | None:
    """Return the head's weights rounded to int8, a scale per output channel, int8 `[out, in]`; None without a head."""
    head = getattr(model, HEAD, None)
    if not isinstance(head, nn.Linear):
        return None
    weight = head.weight.detach().float()
    scale = (weight.abs().amax(1, keepdim=True) / HALF_RANGE).clamp_min(torch.finfo(torch.float32).tiny)
    codes: np.ndarray = torch.round(weight / scale).clamp_(-128, 127).to(torch.int8).cpu().numpy()
    return codes


def record_activations(
    model: nn.Module, quantized: QuantizedModel, layers: Sequence[str], tokens: TokenWindows, count: int
) -> Mapping[str, np.ndarray]:
    """Return the int8 inputs of some modules of the quantized model on the first window, int8 `[token, in]` by name."""
    met: dict[str, np.ndarray] = {}

    def record(name: str) -> Any:
        def hook(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].flatten(0, -2).float()
            values = (part.integers(x) if isinstance(part, Int8Linear) else quantize_activations(x))[0]
            met[name] = values.to(torch.int8).cpu().numpy()

        return hook

    device = next(model.parameters()).device
    with swapped(model, int8_parts(model, quantized)), torch.inference_mode():
        hooks = [model.get_submodule(name).register_forward_pre_hook(record(name)) for name in layers]
        try:
            model(torch.from_numpy(tokens.ids[:1, :count].copy()).to(device))
        finally:
            for hook in hooks:
                hook.remove()
    return met


def cut_tile(
    clock_class: str, place: Place, codes: np.ndarray, met: np.ndarray, size: tuple[int, int], *, running: bool
) -> ProofTile:
    """Return one tile of `codes` `[out, in]` and the activations `[token, in]` that met it, zeros beyond the matrix."""
    tile_in, tile_out = size
    weights, activations = np.zeros((tile_in, tile_out), np.int8), np.zeros((len(met), tile_in), np.int8)
    block = codes[place.column:place.column + tile_out, place.row:place.row + tile_in].T
    weights[:block.shape[0], :block.shape[1]] = block
    activations[:, :block.shape[0]] = met[:, place.row:place.row + tile_in]
    origin = f"{place.layer} in {place.row} out {place.column}"
    return ProofTile(clock_class, origin, running, weights, activations)
