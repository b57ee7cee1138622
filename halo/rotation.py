"""Rotation (QuaRot, NeurIPS 2024; SpinQuant's R1 and R2): a residual stream and values in a basis without outliers.

RMS norms commute with an orthogonal matrix once their weights are folded into the linears that read them. The residual
stream is turned by Q: embeddings, what blocks add to it and what reads it; each head's values by one of its width.
Nothing is left to do when the model runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from halo.block_wiring import Wiring, head_width, weight_of, wire
from halo.blocks import enter
from halo.equal_model import Change, Changes
from halo.errors import ModelError
from halo.model import choose_device, decoder_blocks
from halo.streaming import held

WRITERS = ("o_proj", "down_proj")
VALUES, VALUES_OUT = "v_proj", "o_proj"
PROBE_TOKENS, PROBE_TOLERANCE = 8, 1e-4


def rotate(model: Any, ids: torch.Tensor, seed: int) -> Changes:
    """Return the changes that turn the residual stream and the values of every head.

    Args:
        model: left as it was.
        ids: of a few tokens `[windows, tokens]`, on which the model is run to see what feeds what.
        seed: of the signs.

    Raises:
        ModelError: it is not known to be exact for this architecture; the message names what stands in the way.
    """
    prefix, blocks = decoder_blocks(model)
    base = model.get_submodule(prefix.rpartition(".")[0])
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(part): name for name, part in model.named_modules()}
    final = [name for name, part in base.named_children() if is_norm(part)]
    if head is None or len(final) != 1:
        refuse(model, "it has no language-model head behind one last norm")
    device, generator = next(model.parameters()).device, np.random.default_rng(seed)
    turn = hadamard(embedding.weight.shape[1], generator)
    values = hadamard(head_width(model.config), generator)
    entered = enter(model, blocks, [ids[:1].to(device)])
    changes: dict[str, Change] = {}
    for index, block in enumerate(blocks):
        with held(block, choose_device()):
            wiring = wire(block, entered.hidden[0], entered.arguments[0][index], model.config)
            check_block(model, block, wiring)
            own = turn_block(block, wiring, turn, values)
        changes |= {f"{prefix}.{index}.{name}": change for name, change in own.items()}
    norm = base.get_submodule(final[0])
    check_norm(model, norm)
    last = weight_of(norm)
    assert last is not None, "is_norm() looks for it"
    where, read = names[id(embedding)], names[id(head)]
    changes |= {f"{where}.weight": turned(columns=turn), f"{names[id(norm)]}.weight": torch.ones_like,
                f"{read}.weight": turned(scales=last.detach().double().cpu(), columns=turn)}
    tied = head.weight is embedding.weight
    return Changes(changes, {f"{read}.weight": f"{where}.weight"} if tied else {})


def refuse(model: nn.Module, why: str) -> None:
    """Refuse a model by name.

    Raises:
        ModelError: always.
    """
    raise ModelError(f"{type(model).__name__}: cannot be rotated: {why}; leave transform.rotation out.")


def is_norm(part: nn.Module) -> bool:
    """Return whether a module has one weight per channel, as norms do."""
    weight = weight_of(part)
    return weight is not None and weight.dim() == 1


def check_norm(model: nn.Module, norm: nn.Module) -> None:
    """Check that a norm is w x / rms(x): one that subtracts a mean does not commute with a rotation.

    Raises:
        ModelError: it is another one.
    """
    weight = weight_of(norm)
    assert weight is not None, "is_norm() looks for it"
    x = torch.from_numpy(np.random.default_rng(0).normal(1.0, 2.0, (PROBE_TOKENS, len(weight)))).float()
    wanted = x * x.square().mean(-1, keepdim=True).rsqrt() * weight.detach().float().cpu()
    with torch.no_grad():
        found = norm(x.to(weight.device)).float().cpu()
    if norm._parameters.get("bias") is not None or not torch.allclose(found, wanted, PROBE_TOLERANCE, PROBE_TOLERANCE):
        refuse(model, f"its {type(norm).__name__} is no RMS norm times a weight")


def check_block(model: nn.Module, block: nn.Module, wiring: Wiring) -> None:
    """Check that all that a block multiplies with either reads a norm or writes to the residual stream.

    Raises:
        ModelError: something does neither.
    """
    for norm in wiring.readers:
        check_norm(model, block.get_submodule(norm))
    readers = {name for names in wiring.readers.values() for name in names}
    writers = {name for name in wiring.linears if name.rpartition(".")[2] in WRITERS}
    unknown = sorted(wiring.linears.keys() - readers - writers) or sorted(readers & writers)
    unknown += [name for name, weight in block.named_parameters() if weight.dim() > 1
                and name.removesuffix(".weight") not in wiring.linears]
    if unknown or not writers:
        refuse(model, f"it is not known what {unknown[0] if unknown else 'its blocks'} reads or writes")


def turn_block(block: nn.Module, wiring: Wiring, turn: torch.Tensor, values: torch.Tensor) -> dict[str, Change]:
    """Return the changes of one block's weights, by name within it."""
    changes: dict[str, Change] = {}
    for norm, names in wiring.readers.items():
        weight = weight_of(block.get_submodule(norm))
        assert weight is not None, "wire() looks for it"
        scales = weight.detach().double().cpu()
        changes[f"{norm}.weight"] = torch.ones_like
        for name in names:
            heads = values if name.rpartition(".")[2] == VALUES else None
            changes[f"{name}.weight"] = turned(scales=scales, columns=turn, rows=heads)
            if heads is not None and wiring.linears[name].bias is not None:
                changes[f"{name}.bias"] = turned(rows=heads)
    for name, linear in wiring.linears.items():
        last = name.rpartition(".")[2]
        if last in WRITERS:
            heads = values if last == VALUES_OUT else None
            changes[f"{name}.weight"] = turned(columns=heads, rows=turn)
            if linear.bias is not None:
                changes[f"{name}.bias"] = turned(rows=turn)
    return changes


def turned(
    *, scales: torch.Tensor | None = None, columns: torch.Tensor | None = None, rows: torch.Tensor | None = None
) -> Change:
    """Return the change R^T (W diag(scales)) C; a narrower matrix turns each run of as many channels by itself."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if scales is not None:
            tensor = tensor * scales
        if columns is not None:
            tensor = (tensor.reshape(-1, len(columns)) @ columns).view(tensor.shape)
        if rows is not None:
            flat = tensor.view(len(tensor), -1).T
            tensor = (flat.reshape(-1, len(rows)) @ rows).view(flat.shape).T.reshape(tensor.shape)
        return tensor

    return change


def hadamard(width: int, generator: np.random.Generator) -> torch.Tensor:
    """Return an orthogonal matrix, float64 `[width, width]`: Hadamard's with random signs.

    Of the largest power of two that divides the width; times a random orthogonal one of the odd rest.

    >>> q = hadamard(12, np.random.default_rng(1))
    >>> bool(torch.allclose(q @ q.T, torch.eye(12, dtype=torch.float64)))
    True
    """
    power = width & -width
    matrix = np.ones((1, 1))
    while len(matrix) < power:
        matrix = np.kron(np.array([[1.0, 1.0], [1.0, -1.0]]), matrix)
    rest, upper = np.linalg.qr(generator.normal(size=(width // power, width // power)))
    whole = np.kron(matrix / np.sqrt(power), rest * np.sign(np.diag(upper)))
    return torch.from_numpy(generator.choice([-1.0, 1.0], width)[:, None] * whole)
