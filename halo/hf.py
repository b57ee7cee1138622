"""Our checkpoints in transformers: `import halo.hf`, and `AutoModelForCausalLM.from_pretrained(DIR)` loads them.

Importing registers the method `halo` with transformers' quantizer hooks. Unregistered, transformers skips an unknown
method with a warning; the packed tensors then have another shape than the weights of the same name, and loading fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from halo.checkpoint import QUANT_METHOD, check_quantization, read_quantization
from halo.errors import ModelError
from halo.layer_file import read_layer
from halo.model import choose_device, model_class, quiet_transformers
from halo.runtime import Int8Linear, keeping_types, replace_module
from halo.shards import open_shards


class PackedLinear(nn.Module):
    """A quantized linear as it is stored; `unpack` puts it to work. Its state is what the checkpoint holds.

    Attributes:
        work: None until the tensors are loaded.
    """

    def __init__(self, facts: Mapping[str, Any], fold: int) -> None:
        super().__init__()
        self.name, self.facts, self.fold = facts["name"], facts, fold
        self.out_features, self.in_features = facts["shape"]
        for part, (dtype, *shape) in facts["stored"].items():
            self.register_buffer(part, torch.empty(shape, dtype=getattr(torch, dtype)))
        if "bias" not in facts["stored"]:
            self.register_buffer("bias", None)
        self.work: Int8Linear | None = None

    def unpack(self) -> None:
        """Make the layer that computes, on this one's device.

        Raises:
            ModelError: the stored tensors are not those that were written.
        """
        parts = {part: getattr(self, part).cpu().numpy() for part in self.facts["stored"]}
        device = self.get_buffer("weight").device
        self.work = Int8Linear(read_layer(self.name, parts.__getitem__, self.facts), self.fold).to(device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output `[..., out]` for `x` `[..., in]`.

        Raises:
            ModelError: nothing is loaded yet.
        """
        if self.work is None:
            raise ModelError(f"{self.name}: its weights are not loaded; load the model with `from_pretrained`.")
        result: torch.Tensor = self.work(x)
        return result

    def extra_repr(self) -> str:
        """Return the shape."""
        return f"in_features={self.in_features}, out_features={self.out_features}"

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> PackedLinear:
        return super()._apply(keeping_types(fn), recurse)  # type: ignore[no-untyped-call, no-any-return]


@register_quantization_config(QUANT_METHOD)
class HaloConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """The `quantization_config` of our checkpoints, as it stands in `config.json`."""

    def __init__(self, **fields: Any) -> None:
        self.quant_method = QUANT_METHOD
        self.fields = fields | {"quant_method": QUANT_METHOD}

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` holds."""
        return dict(self.fields)

    def __repr__(self) -> str:
        return f"HaloConfig({self.fields.get('method')}, {len(self.fields.get('layers', ()))} layers)"


@register_quantizer(QUANT_METHOD)
class HaloQuantizer(HfQuantizer):  # type: ignore[misc]
    """Loads our checkpoints; quantizing needs calibration and is `halo quantize`."""

    requires_calibration: ClassVar[bool] = True

    def validate_environment(self, *_: Any, **__: Any) -> None:
        """Check that this program can read the checkpoint.

        Raises:
            ModelError: it is of another schema.
        """
        check_quantization(self.quantization_config.fields, "the checkpoint")

    def _process_model_before_weight_loading(self, model: nn.Module, **_: Any) -> None:
        fields = self.quantization_config.fields
        modules = dict(model.named_modules())
        for facts in fields["layers"]:
            name = facts["name"]
            linear = modules.get(name)
            if not isinstance(linear, nn.Linear) or list(linear.weight.shape) != facts["shape"]:
                shape = " x ".join(map(str, facts["shape"]))
                raise ModelError(f"{name}: the model has no nn.Linear of shape {shape} there; was the quantized model "
                                 "made from another one?")
            with torch.device("meta"):
                replace_module(model, name, PackedLinear(facts, fields["fold"]))

    def _process_model_after_weight_loading(self, model: nn.Module, **_: Any) -> nn.Module:
        for part in model.modules():
            if isinstance(part, PackedLinear):
                part.unpack()
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        """`save_pretrained` writes the packed tensors again, bit for bit."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Inference only."""
        return False


def load(folder: Path | str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the torch model of a quantized checkpoint; in float32 its outputs equal those of the model that was saved.

    Raises:
        ModelError: the folder holds no quantized model, lacks a weight, or is damaged.
    """
    folder = Path(folder)
    read_quantization(folder)
    open_shards(folder)
    try:
        with quiet_transformers(), torch.random.fork_rng():
            kind = model_class(AutoConfig.from_pretrained(folder, local_files_only=True))
            model, info = kind.from_pretrained(folder, dtype=dtype, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{folder}: not a quantized model that transformers can load ({reason}).") from error
    problems = {kind: sorted(map(str, info[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")}
    if any(problems.values()):
        raise ModelError(f"{folder}: weights missing: {problems['missing']}; not of this model: "
                         f"{problems['unexpected'] + problems['mismatched']}; was the folder copied in part?")
    whole: nn.Module = model.to(choose_device()).eval()
    return whole
