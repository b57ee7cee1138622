"""Made-up profiles and quantized models for tests: shapes and magnitudes of real ones, any values asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from characterization.artifact import Provenance
from characterization.profile import MacProfile, ProfileHead
from halo.codebook import GRIDS, Codebook, make_codebook
from halo.layers import QuantizedLinear, QuantizedModel
from halo.operating_point import PointConfig
from halo.tiles import TileMap

CODES = np.arange(-128, 128)
ARRAYS = ("codes", "scales", "sparse_rows", "sparse_cols", "sparse_values", "sparse_scales", "bias", "input_scales",
          "activation_scale")


def synthetic_profile(
    *, delay_ps: np.ndarray | None = None, energy_fj: np.ndarray | None = None, accumulator_bits: int = 24,
    corners: Sequence[tuple[str, float, float]] = (("tt", 25.0, 1.8),), floor_ps: float = 1500.0,
    weight_mode: str = "stationary", certified: float | None = None, weights: np.ndarray = CODES, **changes: object,
) -> MacProfile:
    """A profile whose multiples of 32 and 16 are fast, as on a Booth MAC; 3.2 ns for the slowest value at 1.8 V.

    Delays grow as voltages fall and double on slow processes. `certified` is the certified share of the topological.
    """
    trailing = np.array([min(8, (int(w) & -int(w)).bit_length() - 1) if w else 8 for w in weights])
    delay = 3200.0 - 180.0 * trailing if delay_ps is None else np.asarray(delay_ps, float)
    ones = np.array([bin(int(w) & 255).count("1") for w in weights])
    energy = 1200.0 + 300.0 * ones if energy_fj is None else np.asarray(energy_fj, float)
    slower = np.array([(2.0 if process == "ss" else 1.0) * (1.8 / volt) ** 1.5 * (1.0 if temp >= 25 else 1.1)
                       for process, temp, volt in corners])
    share = np.array([(volt / 1.8) ** 2 for _, _, volt in corners])

    def table(row, factor):
        return np.asarray(factor)[:, None] * np.asarray(row, float)

    unknown = np.full((len(corners), weights.size), np.nan)
    proved = unknown if certified is None else table(delay * certified, slower)
    head = ProfileHead("systolic_pe", weight_mode, 8, 8, accumulator_bits, 1, "osu018", "0" * 64, 500, 9000.0,
                       "300 seeded transitions per weight, uniform activations", 0, ("made up for tests",))
    fields: dict[str, object] = dict(
        head=head, weights=np.array(weights), corners=tuple(corner_name(*corner) for corner in corners),
        process=tuple(process for process, _, _ in corners), interpolated=("",) * len(corners),
        topological_ps=table(delay, slower), sta_ps=table(delay, slower), observed_ps=table(delay * 0.5, slower),
        certified_ps=proved, certified_lower_ps=proved.copy(), swap_ps=unknown.copy(), swap_lower_ps=unknown.copy(),
        energy_fj=table(energy, share), energy_std_fj=table(energy * 0.2, share),
        energy_p05_fj=table(energy * 0.7, share), energy_p50_fj=table(energy, share),
        energy_p95_fj=table(energy * 1.4, share),
        register_energy_fj=table(np.full(weights.size, 350.0), share), n_transitions=300, floor_ps=floor_ps * slower,
        free_ps=(delay.max() + 100.0) * slower, leakage_nw=np.full(len(corners), 5.0),
        voltage_v=np.array([volt for _, _, volt in corners]), temp_c=np.array([temp for _, temp, _ in corners]),
        hold_slack_ps=np.full(len(corners), np.nan), tolerated_skew_ps=np.full(len(corners), np.nan),
        provenance=Provenance("characterize", {"design": "0"}),
    )
    return MacProfile(**{**fields, **changes})


def corner_name(process: str, temp_c: float, voltage_v: float) -> str:
    """The name of a corner: tt_025C_1v80."""
    temperature = f"n{-temp_c:.0f}" if temp_c < 0 else f"{temp_c:03.0f}"
    return f"{process}_{temperature}C_{voltage_v:.2f}".replace(".", "v")


SIGN_OFF = (("tt", 25.0, 1.8), ("ss", -40.0, 1.7), ("ss", 100.0, 1.7), ("ff", -40.0, 1.95))
TT, POINTS = "tt_025C_1v80", PointConfig()


def codebooks_of(profile: MacProfile, *names: str) -> tuple[Codebook, ...]:
    """The fixed grids of these names, at the profile's delays."""
    return tuple(make_codebook(name, GRIDS[name], profile, POINTS) for name in names)


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
