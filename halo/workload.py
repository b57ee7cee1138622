"""The matrix products of a prompt and of a decode step, from a model's configuration alone: no weights needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from halo.errors import ConfigError, ModelError

Phase = Literal["prefill", "decode"]
Kind = Literal["linear", "attention", "head"]
# Matrices that multiply the same input: their loads may be reordered among each other.
SHARED_INPUT = (frozenset({"q_proj", "k_proj", "v_proj"}), frozenset({"gate_proj", "up_proj"}))
ATTENTION_INPUT = SHARED_INPUT[0]


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
    """

    layer: str
    m: int
    n: int
    k: int
    kind: Kind
    count: int = 1

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of all `count` products."""
        return self.m * self.n * self.k * self.count


@dataclass(frozen=True, slots=True)
class Workload:
    """The products of one pass through the model, in order."""

    name: str
    phase: Phase
    products: tuple[Product, ...]

    @property
    def n_macs(self) -> int:
        """Multiply-accumulates of the pass."""
        return sum(product.n_macs for product in self.products)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the products of a decoder are made of."""

    layers: int
    hidden: int
    feedforward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int


def shape_workload(config: Any, prompt_tokens: int, batch: int, context: int, phase: Phase) -> Workload:
    """Return the products of one pass of the model that `config` (Hugging Face object or dict) describes.

    Prefill: `batch` prompts of `prompt_tokens`; causal masks skip nothing. Decode: one token for each of `batch`
    sequences that see `context` tokens. Heads that share keys and values run as one product. The language-model head
    runs for the last token of each sequence.

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
    products = [product for i in range(shape.layers) for product in layer_products(shape, i, tokens, batch, seen)]
    products.append(Product("lm_head", batch, shape.vocabulary, shape.hidden, "head"))
    return Workload(f"{kind}-{phase}-{batch}x{seen}", phase, tuple(products))


def read_llama(fields: Mapping[str, Any]) -> Shape:
    """Return the shape in a Llama-like configuration."""
    heads = fields["num_attention_heads"]
    return Shape(
        layers=fields["num_hidden_layers"], hidden=fields["hidden_size"], feedforward=fields["intermediate_size"],
        heads=heads, kv_heads=fields.get("num_key_value_heads") or heads,
        head_dim=fields.get("head_dim") or fields["hidden_size"] // heads, vocabulary=fields["vocab_size"],
    )


def read_opt(fields: Mapping[str, Any]) -> Shape:
    """Return the shape in an OPT configuration."""
    heads, hidden = fields["num_attention_heads"], fields["hidden_size"]
    if fields.get("word_embed_proj_dim", hidden) != hidden:
        raise ModelError(f"OPT with word_embed_proj_dim {fields['word_embed_proj_dim']} beside hidden_size {hidden}: "
                         "its project_in and project_out products are not known here.")
    return Shape(fields["num_hidden_layers"], hidden, fields["ffn_dim"], heads, heads, hidden // heads,
                 fields["vocab_size"])


def attention(shape: Shape, prefix: str, tokens: int, batch: int, seen: int) -> tuple[Product, Product]:
    """Return the two products of one attention layer; the cached keys and values are stationary."""
    m = tokens * (shape.heads // shape.kv_heads)
    count = batch * shape.kv_heads
    return (Product(f"{prefix}.qk", m, seen, shape.head_dim, "attention", count),
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
    "llama": (read_llama, llama_layer), "mistral": (read_llama, llama_layer), "opt": (read_opt, opt_layer),
}


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
