"""The matrix products of a prompt and of a decode step, from a model's configuration alone: no weights needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from halo.errors import ConfigError, ModelError

# `any`: one pass of the linear layers, whatever it is part of.
Phase = Literal["prefill", "decode", "any"]
Kind = Literal["linear", "attention", "head"]
# Matrices that multiply the same input: their loads may be reordered among each other.
SHARED_INPUT = (frozenset({"q_proj", "k_proj", "v_proj"}), frozenset({"gate_proj", "up_proj"}))
ATTENTION_INPUT = SHARED_INPUT[0]
KV_BITS = 8


@dataclass(frozen=True, slots=True)
class WorkloadConfig:
    """What the model is asked to do.

    Attributes:
        prompt_tokens: tokens of one prompt, all at once (prefill).
        batch: sequences side by side.
        context: tokens already in the cache of each sequence at the decode step.
    """

    prompt_tokens: int = 512
    batch: int = 1
    context: int = 512


@dataclass(frozen=True, slots=True)
class Product:
    """`count` products `[m, k] x [k, n]` with the `[k, n]` side stationary in the array.

    Attributes:
        layer: module name for linear layers, so that a plan's segments match; a made-up name for attention.
        written_bits: what is written to the cache of keys and values beside the product.
    """

    layer: str
    m: int
    n: int
    k: int
    kind: Kind
    count: int = 1
    written_bits: int = 0

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of all `count` products."""
        return self.m * self.n * self.k * self.count


@dataclass(frozen=True, slots=True)
class Workload:
    """The products of one pass through the model, in order.

    Attributes:
        tokens: tokens that the pass takes in: all of the prompts, or one per sequence.
    """

    name: str
    phase: Phase
    products: tuple[Product, ...]
    tokens: int

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of the pass."""
        return sum(product.n_macs for product in self.products)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the products of a decoder are made of.

    Attributes:
        window: tokens that attention looks back at most; 0 for all.
        word_width: width of the embeddings where it is not `hidden` (OPT-350M projects in and out); 0 if it is.
    """

    layers: int
    hidden: int
    feedforward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    window: int = 0
    word_width: int = 0


def shape_workload(config: Any, prompt_tokens: int, batch: int, context: int, phase: Phase) -> Workload:
    """Return the products of one pass of the model that `config` (Hugging Face object or dict) describes.

    Prefill: `batch` prompts of `prompt_tokens`; causal masks skip nothing. Decode: one token for each of `batch`
    sequences that see `context` tokens, or as many as a sliding window lets them. Heads that share keys and values run
    as one product; new keys and values are written to the cache with the scores. The language-model head runs for the
    last token of each sequence.

    Raises:
        ConfigError: a count below one.
        ModelError: an architecture whose products are not known here, or a configuration without a needed key.
    """
    for key, value in (("prompt_tokens", prompt_tokens), ("batch", batch), ("context", context)):
        if value < 1:
            raise ConfigError(f"workload.{key} = {value}; it must be at least 1.")
    fields = config if isinstance(config, Mapping) else config.to_dict()
    kind = str(fields.get("model_type"))
    if kind not in ARCHITECTURES:
        raise ModelError(f"model_type {kind!r}: its products are not known; known are {', '.join(ARCHITECTURES)}.")
    read, layer_products = ARCHITECTURES[kind]
    try:
        shape = read(fields)
    except KeyError as error:
        raise ModelError(f"the {kind} configuration has no {error.args[0]!r}; is config.json whole?") from error
    tokens = prompt_tokens if phase == "prefill" else 1
    seen = prompt_tokens if phase == "prefill" else context
    visible = min(seen, shape.window) if shape.window and phase == "decode" else seen
    products = [product for i in range(shape.layers) for product in layer_products(shape, i, tokens, batch, visible)]
    if shape.word_width:
        prefix, m = "model.decoder", tokens * batch
        products.insert(0, Product(f"{prefix}.project_in", m, shape.hidden, shape.word_width, "linear"))
        products.append(Product(f"{prefix}.project_out", m, shape.word_width, shape.hidden, "linear"))
    products.append(Product("lm_head", batch, shape.vocabulary, shape.word_width or shape.hidden, "head"))
    return Workload(f"{kind}-{phase}-{batch}x{seen}", phase, tuple(products), tokens * batch)


def linear_only(workload: Workload) -> Workload:
    """Return the linear layers of a workload alone."""
    products = tuple(product for product in workload.products if product.kind == "linear")
    return replace(workload, name=f"{workload.name}-linear", products=products)


def read_llama(fields: Mapping[str, Any]) -> Shape:
    """Return the shape in a Llama-like configuration."""
    heads = fields["num_attention_heads"]
    return Shape(
        layers=fields["num_hidden_layers"], hidden=fields["hidden_size"], feedforward=fields["intermediate_size"],
        heads=heads, kv_heads=fields.get("num_key_value_heads") or heads,
        head_dim=fields.get("head_dim") or fields["hidden_size"] // heads, vocabulary=fields["vocab_size"],
        window=sliding_window(fields),
    )


def sliding_window(fields: Mapping[str, Any]) -> int:
    """Return how far attention looks back where every layer's is limited alike; 0 where it is not.

    Qwen carries a window that counts only with `use_sliding_window`, and then from a certain layer on.

    Raises:
        ModelError: some layers have a window and some do not.
    """
    window = int(fields.get("sliding_window") or 0)
    if "use_sliding_window" in fields:
        if not fields["use_sliding_window"]:
            return 0
        if fields.get("max_window_layers", 0) not in {0, None}:
            raise ModelError("a sliding window from a certain layer on (use_sliding_window, max_window_layers): its "
                             "attention products are not known here; set use_sliding_window to false for a bound.")
    return window


def read_opt(fields: Mapping[str, Any]) -> Shape:
    """Return the shape in an OPT configuration."""
    heads, hidden = fields["num_attention_heads"], fields["hidden_size"]
    width = fields.get("word_embed_proj_dim", hidden)
    return Shape(fields["num_hidden_layers"], hidden, fields["ffn_dim"], heads, heads, hidden // heads,
                 fields["vocab_size"], word_width=0 if width == hidden else width)


def attention(shape: Shape, prefix: str, tokens: int, batch: int, seen: int) -> tuple[Product, Product]:
    """Return the two products of one attention layer; the cached keys and values are stationary."""
    m = tokens * (shape.heads // shape.kv_heads)
    count = batch * shape.kv_heads
    new = 2 * tokens * batch * shape.kv_heads * shape.head_dim * KV_BITS
    return (Product(f"{prefix}.qk", m, seen, shape.head_dim, "attention", count, new),
            Product(f"{prefix}.pv", m, shape.head_dim, seen, "attention", count))


def llama_layer(shape: Shape, index: int, tokens: int, batch: int, seen: int) -> Iterator[Product]:
    """Yield the products of one Llama layer, in order."""
    prefix, m = f"model.layers.{index}", tokens * batch
    inner, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield Product(f"{prefix}.self_attn.q_proj", m, inner, shape.hidden, "linear")
    yield Product(f"{prefix}.self_attn.k_proj", m, kv, shape.hidden, "linear")
    yield Product(f"{prefix}.self_attn.v_proj", m, kv, shape.hidden, "linear")
    yield from attention(shape, f"{prefix}.self_attn", tokens, batch, seen)
    yield Product(f"{prefix}.self_attn.o_proj", m, shape.hidden, inner, "linear")
    yield Product(f"{prefix}.mlp.gate_proj", m, shape.feedforward, shape.hidden, "linear")
    yield Product(f"{prefix}.mlp.up_proj", m, shape.feedforward, shape.hidden, "linear")
    yield Product(f"{prefix}.mlp.down_proj", m, shape.hidden, shape.feedforward, "linear")


def opt_layer(shape: Shape, index: int, tokens: int, batch: int, seen: int) -> Iterator[Product]:
    """Yield the products of one OPT layer, in order."""
    prefix, m = f"model.decoder.layers.{index}", tokens * batch
    for name in ("q_proj", "k_proj", "v_proj"):
        yield Product(f"{prefix}.self_attn.{name}", m, shape.hidden, shape.hidden, "linear")
    yield from attention(shape, f"{prefix}.self_attn", tokens, batch, seen)
    yield Product(f"{prefix}.self_attn.out_proj", m, shape.hidden, shape.hidden, "linear")
    yield Product(f"{prefix}.fc1", m, shape.feedforward, shape.hidden, "linear")
    yield Product(f"{prefix}.fc2", m, shape.hidden, shape.feedforward, "linear")


Read = Callable[[Mapping[str, Any]], Shape]
LayerProducts = Callable[[Shape, int, int, int, int], Iterator[Product]]
ARCHITECTURES: Mapping[str, tuple[Read, LayerProducts]] = {
    "llama": (read_llama, llama_layer), "mistral": (read_llama, llama_layer), "qwen2": (read_llama, llama_layer),
    "qwen3": (read_llama, llama_layer), "opt": (read_opt, opt_layer),
}


def llama_2(hidden: int, feedforward: int, layers: int, heads: int, kv_heads: int) -> dict[str, Any]:
    """Return the configuration of a LLaMA-2 (Touvron, arXiv 2307.09288)."""
    return {"model_type": "llama", "hidden_size": hidden, "intermediate_size": feedforward, "vocab_size": 32000,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads}


def opt(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    """Return the configuration of an OPT (Zhang, arXiv 2205.01068, table 1); feed-forward four times as wide."""
    return {"model_type": "opt", "hidden_size": hidden, "ffn_dim": 4 * hidden, "vocab_size": 50272,
            "num_hidden_layers": layers, "num_attention_heads": heads}


# Shapes as in the config.json of the published checkpoints; no weights come with them.
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "llama-2-7b": llama_2(4096, 11008, 32, 32, 32), "llama-2-13b": llama_2(5120, 13824, 40, 40, 40),
    "llama-2-70b": llama_2(8192, 28672, 80, 64, 8), "opt-1.3b": opt(2048, 24, 32), "opt-2.7b": opt(2560, 32, 32),
    "opt-6.7b": opt(4096, 32, 32), "opt-13b": opt(5120, 40, 40), "opt-30b": opt(7168, 48, 56),
    "mistral-7b": {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 32000,
                   "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
                   "sliding_window": 4096},
    "qwen2-7b": {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "vocab_size": 152064,
                 "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
                 "use_sliding_window": False},
}


def find_shape(name: str) -> Mapping[str, Any]:
    """Return the configuration of a preset, or of the `config.json` (or the folder with one) at a path.

    Raises:
        ModelError: there is neither.
    """
    if name in SHAPES:
        return SHAPES[name]
    path = Path(name) / "config.json" if Path(name).is_dir() else Path(name)
    try:
        fields: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return fields
    except (OSError, ValueError) as error:
        raise ModelError(f"{name!r} is neither a preset ({', '.join(SHAPES)}) nor a readable config.json "
                         f"({error}).") from error


def shared_input_stage(layer: str) -> str:
    """Return the name of the dependent stage a linear layer belongs to: its own, or of those that share its input.

    >>> shared_input_stage("model.layers.3.self_attn.k_proj")
    'model.layers.3.self_attn.k_proj+q_proj+v_proj'
    >>> shared_input_stage("model.layers.3.mlp.down_proj")
    'model.layers.3.mlp.down_proj'
    """
    parent, _, leaf = layer.rpartition(".")
    for group in SHARED_INPUT:
        if leaf in group:
            return f"{parent}.{'+'.join(sorted(group))}"
    return layer
