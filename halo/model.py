"""Models: a Hugging Face causal language model from its folder, and which of its modules are quantized."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numba
import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from characterization.artifact import digest_bytes, digest_file, digest_of
from halo.errors import ConfigError, ModelError, NumericsError
from halo.shards import Shards, open_shards, weight_files
from halo.streaming import stream_

# Where a model carries which of its linears the user asked to leave alone: name -> expression.
IGNORED = "halo_ignored_linears"
# Where a model carries in words what made it of the original, whose outputs are the same.
TRANSFORM = "halo_transform"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that computes in float32, its tokenizer, and where they came from.

    Attributes:
        digest: of `config.json` and every safetensors file of the folder.
    """

    model: nn.Module
    tokenizer: Any
    folder: Path
    digest: str


@dataclass(frozen=True, eq=False)
class LinearList:
    """The linear layers that are quantized, in forward order, and why every other module with weights is not.

    Attributes:
        linears: module name -> module.
        skipped: module name -> reason.
    """

    linears: Mapping[str, nn.Linear]
    skipped: Mapping[str, str]


def transform_of(model: nn.Module) -> str:
    """Return what was done to the original model to make `model`, in words; '' where it is the original."""
    return str(getattr(model, TRANSFORM, ""))


def choose_device() -> torch.device:
    """Return CUDA where there is a device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def torch_tools() -> dict[str, str]:
    """Return what float sums depend on: torch build, device and thread count, for the provenance of a result."""
    settle_threads()
    return {"torch": torch.__version__, "device": choose_device().type, "threads": str(torch.get_num_threads())}


def settle_threads() -> None:
    """Start numba's threads and leave torch the count it had: both are OpenMP's, and the start gives torch numba's."""
    before = torch.get_num_threads()
    numba.get_num_threads()
    torch.set_num_threads(before)


def digest_model(folder: Path) -> str:
    """Return the digest of a model folder's configuration and weights."""
    return digest_of({path.name: digest_file(path) for path in (folder / "config.json", *weight_files(folder))})


def digest_weights(model: nn.Module) -> str:
    """Return the digest of a model's weights in memory."""
    return digest_of({name: digest_bytes(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
                      for name, value in model.named_parameters()})


def load_model(folder: Path, ignore: Sequence[str] = ()) -> LoadedModel:
    """Return the language model of `folder`, ready to evaluate in float32 whatever it is stored in.

    Args:
        folder: of a Hugging Face model with safetensors.
        ignore: regular expressions; linears in whose name one is found stay as they are.

    Raises:
        ModelError: the folder is no model, its safetensors are damaged, or its architecture is unknown.
        NumericsError: a weight is NaN or infinite.
        ConfigError: an expression matches nothing.
    """
    return LoadedModel(open_model(folder, ignore), load_tokenizer(folder), folder, digest_model(folder))


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a model's folder.

    Raises:
        ModelError: there is none that transformers can load.
    """
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{folder}: no tokenizer that transformers can load ({reason}); copy the tokenizer's files "
                         "there, such as tokenizer.json.") from error


def open_model(folder: Path, ignore: Sequence[str] = ()) -> nn.Module:
    """Return the model of `folder` without a tokenizer: a causal language model, or what it was saved as.

    Its weights stay in their files, by memory map; where they fit a GPU's memory they are put there as a whole.

    Raises:
        HaloError: as `load_model`.
    """
    shards = open_shards(folder)
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            if getattr(config, "quantization_config", None) is not None:
                raise ModelError(f"{folder}: is quantized already; give the original model.")
            model = model_class(config).from_pretrained(folder, dtype="auto", local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{folder}: not a causal language model that transformers can load ({reason}).") from error
    take_stored_types(model, shards)
    check_finite(model)
    ignore_linears_(model, ignore)
    return placed(model.eval())


def model_class(config: Any) -> Any:
    """Return the transformers class of a configuration: what it was saved as, else a causal language model."""
    named = [getattr(transformers, name, None) for name in getattr(config, "architectures", None) or ()]
    return next((found for found in named if found is not None), AutoModelForCausalLM)


def take_stored_types(model: Any, shards: Shards) -> None:
    """Give every weight of `model` the type and the memory that it has in its file.

    transformers loads all weights in one type: a float32 norm of a bf16 model would lose digits.
    """
    prefix = f"{model.base_model_prefix}."
    for owner_name, owner in model.named_modules():
        for part, weight in owner.named_parameters(recurse=False):
            name = f"{owner_name}.{part}" if owner_name else part
            key = next((key for key in (name, name.removeprefix(prefix), prefix + name) if key in shards.files), None)
            if key is None:
                continue  # tied to another, or made from several stored tensors
            stored = shards.read(key)
            if stored.shape == weight.shape and stored.dtype != weight.dtype:
                owner._parameters[part] = nn.Parameter(stored, requires_grad=False)
    for owner in model.modules():
        for part, buffer in owner.named_buffers(recurse=False):
            if buffer.is_floating_point():
                owner._buffers[part] = buffer.float()
    model.tie_weights()


def placed(model: nn.Module) -> nn.Module:
    """Return `model` on a GPU as a whole where it takes at most half the free memory, else streamed from its files."""
    device = choose_device()
    if device.type == "cuda":
        need = sum(weight.numel() for weight in model.parameters()) * torch.finfo(torch.float32).bits // 8
        if 2 * need <= torch.cuda.mem_get_info(device)[0]:
            return model.float().to(device)
    stream_(model, decoder_blocks(model)[1], device)
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence progress bars, and warnings about generation and tokenizers: nothing here generates."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    try:
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def check_finite(model: nn.Module) -> None:
    """Check that every parameter is a number.

    Raises:
        NumericsError: one is not; the message names all modules that have such a weight.
    """
    bad = {name: int((~torch.isfinite(value)).sum()) for name, value in model.named_parameters()}
    bad = {name: count for name, count in bad.items() if count}
    if bad:
        listed = ", ".join(f"{name} ({count} of its weights)" for name, count in bad.items())
        raise NumericsError(f"NaN or infinity in {listed}; train or download the model again.")


def check_causal(model: Any) -> None:
    """Check that `model` predicts a text's next tokens: that it can write one, and that the loss of one says something.

    Raises:
        ModelError: it is an encoder, or an encoder with a decoder.
    """
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise ModelError(f"{type(model).__name__} is no causal language model, which a text could be continued with; "
                         "quantize it from its weights alone, with --no-data.")


def decoder_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the name and the list of the decoder layers: the list of modules that holds most linear weights.

    Raises:
        ModelError: no list of modules holds an `nn.Linear`.
    """
    lists = {name: part for name, part in model.named_modules() if isinstance(part, nn.ModuleList)}
    sizes = {name: linear_weights(part) for name, part in lists.items()}
    best = max(sizes, key=lambda name: sizes[name], default=None)
    if best is None or sizes[best] == 0:
        raise ModelError(f"{type(model).__name__}: no list of decoder layers with nn.Linear modules; only such models "
                         "can be quantized.")
    return best, lists[best]


def linear_weights(part: nn.Module) -> int:
    """Return how many weights the linear layers of `part` hold."""
    return sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Linear))


def list_linears(model: nn.Module) -> LinearList:
    """Return every `nn.Linear` inside the decoder layers, in forward order, and a reason for each other module.

    Raises:
        ModelError: the model has no decoder layers with linears, or keeps most of their weights elsewhere.
    """
    prefix, _ = decoder_blocks(model)
    ignored: Mapping[str, str] = getattr(model, IGNORED, {})
    linears: dict[str, nn.Linear] = {}
    skipped: dict[str, str] = {}
    elsewhere: dict[str, nn.Module] = {}
    for name, part in model.named_modules():
        own = list(part.parameters(recurse=False))
        if name in ignored:
            skipped[name] = f"ignored: {ignored[name]!r} is found in its name"
        elif isinstance(part, nn.Linear) and name.startswith(f"{prefix}."):
            linears[name] = part
        elif own:
            skipped[name] = skip_reason(model, part)
            if name.startswith(f"{prefix}.") and any(weight.dim() > 1 for weight in own):
                elsewhere[name] = part
    check_covered(model, linears, elsewhere)
    return LinearList(linears, skipped)


def check_covered(model: nn.Module, linears: Mapping[str, nn.Linear], elsewhere: Mapping[str, nn.Module]) -> None:
    """Check that the linears are most of what the decoder layers multiply with.

    Raises:
        ModelError: other modules, such as fused experts, hold more; the message names them and the way out.
    """
    counted = sum(linear.weight.numel() for linear in linears.values())
    sizes = {name: sum(weight.numel() for weight in part.parameters(recurse=False)) for name, part in elsewhere.items()}
    missed = sum(sizes.values())
    if missed > counted:
        first = max(sizes, key=lambda name: sizes[name])
        raise ModelError(
            f"{type(model).__name__}: {missed / (counted + missed):.0%} of the decoder layers' weights are in modules "
            f"that are no nn.Linear and would stay as they are: {first}: {skip_reason(model, elsewhere[first])}, and "
            f"{len(elsewhere) - 1} more. To accept that, give ignore = [\"{first.rpartition('.')[2]}\"].")


def ignore_linears_(model: nn.Module, patterns: Sequence[str]) -> None:
    """Mark the modules in whose names one of `patterns` is found as not to be quantized.

    Raises:
        ConfigError: a pattern is no regular expression, or matches no module with weights; or together they match
            every linear of the decoder layers.
    """
    named = [name for name, part in model.named_modules() if next(part.parameters(recurse=False), None) is not None]
    found: dict[str, str] = {}
    for pattern in patterns:
        matched = matching(pattern, named, "ignore")
        found |= {name: pattern for name in matched if name not in found}
    setattr(model, IGNORED, found)
    if found and not list_linears(model).linears:
        raise ConfigError(f"ignore = {list(patterns)} matches every linear of the decoder layers; leave some to "
                          "quantize.")


def matching(pattern: str, names: Sequence[str], what: str) -> list[str]:
    """Return the `names` in which the regular expression `pattern` is found.

    Raises:
        ConfigError: it is none, or is found in no name; `what` is the option it came from.
    """
    try:
        matched = [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise ConfigError(f"{what} {pattern!r} is not a regular expression ({error}).") from error
    if not matched:
        near = get_close_matches(pattern, [*{name.rpartition(".")[2] for name in names}, *names], 1, 0.3)
        raise ConfigError(f"{what} {pattern!r} matches no module with weights" +
                          (f"; did you mean {near[0]!r}?" if near else "."))
    return matched


def skip_reason(model: Any, part: nn.Module) -> str:
    """Return why a module with weights stays as it is."""
    outputs = getattr(model, "get_output_embeddings", lambda: None)()
    if part is outputs:
        return "language-model head: kept in float32; costed as int8 for every method"
    if isinstance(part, nn.Embedding):
        return "embedding: a table look-up, not a product"
    if isinstance(part, nn.Linear):
        return "linear outside the decoder layers: kept in float32"
    if part.__module__ == "torch.nn.modules.conv":
        return f"{type(part).__name__}: a convolution, not an nn.Linear"
    fused = [weight for weight in part.parameters(recurse=False) if weight.dim() > 2]
    if fused:
        shapes = ", ".join(" x ".join(map(str, weight.shape)) for weight in fused)
        return f"{type(part).__name__}: fused weights of {len(fused[0])} experts ({shapes}), not an nn.Linear"
    return f"{type(part).__name__}: not an nn.Linear"
