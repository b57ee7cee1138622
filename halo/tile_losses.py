"""What each tile would lose and burn under each codebook: by the quantizer's own first pass, or a plain score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from halo.assignment import TileLosses
from halo.codebook import Codebook
from halo.errors import ConfigError, ModelError
from halo.factor import Factor, factorize
from halo.feedback import activation_order
from halo.layer_task import LayerTask, no_sparse, row_worth
from halo.methods.halo import Config, first_pass
from halo.model import choose_device, list_linears
from halo.rounding import nearest, search_scales
from halo.sensitivity import LayerSensitivity, Sensitivity
from halo.tiles import SCORES, TileConfig, uniform_map


def measure_tile_losses(
    model: nn.Module, sensitivity: Sensitivity, codebooks: Sequence[Codebook], config: TileConfig,
    energy: np.ndarray | None = None, price: float = 0.0, times: tuple[float, ...] = (),
) -> TileLosses:
    """Return what every tile adds to loss and energy under every codebook.

    By the score "hessian" each layer goes through error feedback once per codebook, energy priced as it will be: the
    quantizer's first pass, whose losses fall to single weights. The sweeps after it lower them all alike. By the other
    scores weights are rounded to nearest, each tile on its own.

    Args:
        model: what is quantized.
        sensitivity: what its loss says.
        codebooks: the choices.
        config: tile and array sizes, and the score.
        energy: of an operation with each value of -128..127 over the mean of all `[256]`; None where it does not count.
        price: what the energy of all operations at that mean is worth in loss.
        times: of each codebook's clock over that of all values; (): delays over the slowest codebook's.

    Raises:
        ConfigError: no codebook is given, or the score is unknown.
        ModelError: the model has no layer that tiles fit.
    """
    if not codebooks:
        raise ConfigError("tiles: no codebooks to choose from; give at least one.")
    if config.score not in SCORES:
        raise ConfigError(f"tiles.score = {config.score!r}; use {', '.join(SCORES[:-1])} or {SCORES[-1]}.")
    linears = list_linears(model).linears
    n_weights = sum(linear.weight.numel() for linear in linears.values())
    layers, spent, whole = {}, {}, 0.0
    for name, linear in linears.items():
        weight, moments = linear.weight.detach().float().cpu(), sensitivity.layers[name]
        check_fit(name, weight, config)
        if config.score == "hessian":
            prices = None if energy is None or not price else torch.from_numpy(price * energy / n_weights).float()
            task = task_of(name, weight, moments, sensitivity.n_tokens, codebooks, config, prices)
            parts = draft_losses(task, config, energy)
        else:
            statistic = score_statistic(moments, config)
            parts = [nearest_losses(name, weight, statistic, codebook, config, energy) for codebook in codebooks]
        layers[name], spent[name] = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
        if energy is not None:
            whole += float(energy[plain_int8(weight) + 128].sum())
    if energy is None:
        return TileLosses(layers, tuple(codebooks), config, None, 0.0, times)
    shares = {name: value / whole for name, value in spent.items()}
    return TileLosses(layers, tuple(codebooks), config, shares, price * whole / n_weights, times, whole)


def task_of(
    name: str, weight: torch.Tensor, moments: LayerSensitivity, n_tokens: int, codebooks: Sequence[Codebook],
    config: TileConfig, prices: torch.Tensor | None,
) -> LayerTask:
    """Return the task of a layer whose inputs are the original model's; all its tiles use the first codebook."""
    device = choose_device()
    given = [torch.from_numpy(moments.read(moment)).float().to(device) for moment in ("hessian", "fisher")]
    worth = row_worth(moments.read("output"), n_tokens).to(device)
    tiles = uniform_map(name, weight.shape[0], weight.shape[1], config)
    return LayerTask(name, weight.to(device), None, given[0], given[1], tuple(codebooks), tiles, config.array_rows,
                     worth, None if prices is None else prices.to(device))


def draft_losses(task: LayerTask, config: TileConfig, energy: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return loss and energy of every tile under each codebook, float64 `[out tiles, in tiles]`."""
    factor = factorize(task.hessian, activation_order(task.hessian), Config().damping)
    found, shape = [], (task.weight.shape[0], task.weight.shape[1])
    for position in range(len(task.codebooks)):
        one = replace(task, tiles=uniform_map(task.name, *shape, config, position))
        parts = [losses_of_rows(one.only_rows(rows), factor, config, energy) for rows in task.row_blocks()]
        losses, spent = (np.concatenate(each) for each in zip(*parts, strict=True))
        found.append((losses, spent))
    return found


def losses_of_rows(
    task: LayerTask, factor: Factor, config: TileConfig, energy: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and energy of the tiles of a few rows, float64 `[out tiles, in tiles]`."""
    assert task.worth is not None, "task_of() gives every row's worth"
    draft = first_pass(task, no_sparse(task.weight), factor)
    losses = (draft.losses * task.worth[:, None]).double().cpu().numpy()
    codes = draft.codes.cpu().numpy().astype(np.int64)
    spent = np.zeros(codes.shape) if energy is None else energy[codes + 128]
    return of_tiles(losses, config), of_tiles(spent, config)


def of_tiles(values: np.ndarray, config: TileConfig) -> np.ndarray:
    """Return sums over tiles, `[out tiles, in tiles]`, of what each weight `[out, in]` adds."""
    columns = np.add.reduceat(values, np.arange(0, values.shape[1], config.tile_in), axis=1)
    return np.asarray(np.add.reduceat(columns, np.arange(0, values.shape[0], config.tile_out), axis=0))


def plain_int8(weight: torch.Tensor) -> np.ndarray:
    """Return W8A8's codes of a weight matrix: a scale per row, nearest, int64 `[out, in]`."""
    scale = (weight.abs().amax(1, keepdim=True) / 127.5).clamp(min=1e-30)
    return torch.round(weight / scale).clamp(-128, 127).long().numpy()


def check_fit(name: str, weight: torch.Tensor, config: TileConfig) -> None:
    """Check that a layer is not so small that its tiles would be mostly empty.

    Raises:
        ModelError: not even its fullest tile is a quarter full.
    """
    out_features, in_features = weight.shape
    fullest = min(out_features, config.tile_out) * min(in_features, config.tile_in)
    if 4 * fullest < config.tile_out * config.tile_in:
        raise ModelError(f"{name}: shape {out_features} x {in_features} fills less than a quarter of a tile of "
                         f"{config.tile_out} x {config.tile_in}; set tiles.tile_out and tiles.tile_in smaller.")


def score_statistic(layer: LayerSensitivity, config: TileConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what weighs a squared error, float64 `[out, in]`, and for "guided" also the full `[in, in]` form.

    The guided score is the curvature that the loss has if outputs err independently: a row's error e costs
    mean(g_i^2) e H e^T / tokens, with the token weights of the guided Hessian.
    """
    if config.score == "fisher":
        return layer.read("fisher").astype(float), None
    if config.score == "absgrad":
        gradients = layer.read("absgrad").astype(float)
        return gradients / max(float(gradients.sum()), 1e-300), None
    guided, output = layer.read("guided").astype(float), layer.read("output").astype(float)
    share = output / max(float(output.mean()), 1e-300)
    return share[:, None] * np.diagonal(guided)[None, :], guided


def nearest_losses(
    name: str, weight: torch.Tensor, statistic: tuple[np.ndarray, np.ndarray | None], codebook: Codebook,
    config: TileConfig, energy: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and energy of every tile rounded to nearest, float64 `[out tiles, in tiles]`."""
    importance, guided = torch.from_numpy(statistic[0]).float(), statistic[1]
    codes = torch.tensor(codebook.codes_in(name), dtype=torch.float32)
    columns, spent = [], []
    for start in range(0, weight.shape[1], config.tile_in):
        part = slice(start, start + config.tile_in)
        scale = search_scales(weight[:, part], importance[:, part], codes, name)[:, None]
        rounded = nearest(weight[:, part] / scale, codes)
        error = (weight[:, part] - rounded * scale).double().numpy()
        spent.append(np.zeros(len(error)) if energy is None else energy[rounded.long().numpy() + 128].sum(1))
        columns.append(row_losses(error, statistic[0][:, part], None if guided is None else guided[part, part]))
    starts = np.arange(0, len(weight), config.tile_out)
    losses, energies = (np.add.reduceat(np.stack(each, axis=1), starts, axis=0) for each in (columns, spent))
    return losses / 2, energies


def row_losses(error: np.ndarray, importance: np.ndarray, guided: np.ndarray | None) -> np.ndarray:
    """Return what each row's error in one tile costs, `[out]`: the quadratic form where there is one."""
    if guided is None:
        return np.asarray((error**2 * importance).sum(1))
    diagonal = np.maximum(np.diagonal(guided), 1e-300)
    row_share = (importance / diagonal[None, :]).max(1)
    return np.asarray(row_share * np.einsum("oi,ij,oj->o", error, guided, error, optimize=True))
