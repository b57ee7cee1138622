"""Made-up profiles and quantized models for tests: shapes and magnitudes of real ones, any values asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from characterization.artifact import Provenance
from characterization.profile import MacProfile, ProfileHead
from halo.codebook import GRIDS, Codebook, make_codebook
from halo.layers import QuantizedLinear, QuantizedModel
from halo.tiles import TileMap

CODES = np.arange(-128, 128)


def synthetic_profile(
    *, delay_ps: np.ndarray | None = None, energy_fj: np.ndarray | None = None, accumulator_bits: int = 24,
    corners: tuple[str, ...] = ("tt",), floor_ps: float = 1500.0, weight_mode: str = "stationary",
) -> MacProfile:
    """A profile whose multiples of 32 and 16 are fast, as on a Booth MAC; 3.2 ns for the slowest value."""
    trailing = np.array([min(8, (int(w) & -int(w)).bit_length() - 1) if w else 8 for w in CODES])
    delay = 3200.0 - 180.0 * trailing if delay_ps is None else np.asarray(delay_ps, float)
    ones = np.array([bin(int(w) & 255).count("1") for w in CODES])
    energy = 1200.0 + 300.0 * ones if energy_fj is None else np.asarray(energy_fj, float)
    n = len(corners)

    def tile(row):
        return np.tile(np.asarray(row, float), (n, 1))

    head = ProfileHead("systolic_pe", weight_mode, 8, 8, accumulator_bits, 1, "osu018", "0" * 64, 500, 9000.0,
                       "300 seeded transitions per weight, uniform activations", 0)
    return MacProfile(
        head, corners, tile(delay), tile(delay), tile(delay * 0.9), tile(energy), tile(energy * 0.2),
        tile(np.full(256, 350.0)), 300, np.full(n, floor_ps), np.full(n, 5.0),
        1.8 - 0.1 * np.arange(n), np.full(n, 25.0), Provenance("characterize", {"design": "0"}),
    )


def codebooks_of(profile: MacProfile, *names: str) -> tuple[Codebook, ...]:
    """The fixed grids of these names, at the profile's delays."""
    return tuple(make_codebook(name, GRIDS[name], profile, profile.corners[0]) for name in names)


def synthetic_layer(
    name: str, n_out: int, n_in: int, codebooks: Sequence[Codebook], *, seed: int = 0, fold: int = 128,
    tile_in: int = 128, tile_out: int = 128, classes: np.ndarray | None = None,
    per_channel: bool = False, n_sparse: int = 0,
) -> QuantizedLinear:
    """A layer of random codes, each tile from its own codebook."""
    rng = np.random.default_rng(seed)
    shape = (-(-n_out // tile_out), -(-n_in // tile_in))
    chosen = rng.integers(0, len(codebooks), shape) if classes is None else np.asarray(classes)
    tiles = TileMap(name, chosen.astype(np.int8), tile_in, tile_out)
    per_weight = tiles.of_weights(n_out, n_in)
    codes = np.zeros((n_out, n_in), np.int8)
    for index, book in enumerate(codebooks):
        drawn = rng.choice(np.array(book.codes), size=codes.shape).astype(np.int8)
        codes = np.where(per_weight == index, drawn, codes).astype(np.int8)
    flat = np.sort(rng.choice(n_out * n_in, n_sparse, replace=False))
    rows, cols = (flat // n_in).astype(np.int32), (flat % n_in).astype(np.int32)
    codes[rows, cols] = 0
    n_scales = 1 if per_channel else -(-n_in // fold)
    return QuantizedLinear(
        name, codes, np.full((n_out, n_scales), 0.01, np.float16), tiles, rows, cols,
        np.full(n_sparse, 127, np.int8), np.full(n_out, 0.02, np.float16), None, 0.01, "")


def synthetic_model(
    shapes: Mapping[str, tuple[int, int]], codebooks: Sequence[Codebook], *, method: str = "halo-bal", fold: int = 128,
    skipped: Mapping[str, str] | None = None, **layer: object,
) -> QuantizedModel:
    """A model of random layers; `shapes` gives (out, in) by module name."""
    layers = tuple(synthetic_layer(name, n_out, n_in, codebooks, seed=i, fold=fold, **layer)  # type: ignore[arg-type]
                   for i, (name, (n_out, n_in)) in enumerate(shapes.items()))
    return QuantizedModel(method, tuple(codebooks), layers, fold, dict(skipped or {"lm_head": "kept"}),
                          Provenance("quantize", {}))


LLAMA = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024}


def llama_shapes(config: Mapping[str, int] = LLAMA) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer of a small Llama."""
    hidden, ff = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {}
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}"
        shapes |= {f"{p}.self_attn.q_proj": (hidden, hidden), f"{p}.self_attn.k_proj": (kv, hidden),
                   f"{p}.self_attn.v_proj": (kv, hidden), f"{p}.self_attn.o_proj": (hidden, hidden),
                   f"{p}.mlp.gate_proj": (ff, hidden), f"{p}.mlp.up_proj": (ff, hidden),
                   f"{p}.mlp.down_proj": (hidden, ff)}
    return shapes
