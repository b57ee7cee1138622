import numpy as np
import pytest
import torch

from halo.assignment import choose_classes
from halo.codebook import Codebook
from halo.methods import halo
from halo.quantize import Job, QuantizeConfig, quantize
from halo.sparse import SparseConfig
from halo.tile_losses import measure_tile_losses
from halo.tiles import TileConfig
from halo.tokens import no_windows

BOOKS = (Codebook("fast", (-64, -32, 0, 32, 64), 1000.0), Codebook("slow", tuple(range(-96, 97, 12)), 1500.0))
CONFIG = TileConfig(16, 16, 32, 32)


@pytest.mark.parametrize("price", [0.0, 0.5])
def test_the_energy_foretold_is_that_of_the_model_made_with_it(cases, tmp_path, price):
    """Without sweeps, a sparse part or other inputs the quantizer does what the tiles were measured with."""
    case = cases["llama"]
    model, energy = case.loaded.model, 0.5 + np.abs(np.arange(-128, 128)) / 128
    losses = measure_tile_losses(model, case.sensitivity, BOOKS, CONFIG, energy, price)
    n_weights = sum(int(np.prod(case.sensitivity.layers[name].read("fisher").shape)) for name in losses.layers)
    plain = halo.Config(sweeps=0, refit=False, sparse=SparseConfig(cap_share=0.0))
    for position in (0, 1):
        maps = choose_classes(measure_tile_losses(model, case.sensitivity, BOOKS[position :][:1], CONFIG), "bal").maps
        job = Job(BOOKS[position :][:1], maps, "halo", plain, QuantizeConfig(fold=32), price * energy / n_weights)
        made = quantize(model, no_windows(), case.sensitivity, job, tmp_path / str(position))
        spent = sum(float(energy[layer.codes.astype(int) + 128].sum()) for layer in made.layers)
        assert sum(each[position].sum() for each in losses.energy.values()) == pytest.approx(spent / losses.whole)


def test_priced_energy_is_saved_for_more_loss(cases):
    case = cases["llama"]
    energy = 0.5 + np.abs(np.arange(-128, 128)) / 128
    free, dear = (measure_tile_losses(case.loaded.model, case.sensitivity, BOOKS, CONFIG, energy, price)
                  for price in (0.0, 5.0))
    for name in free.layers:
        assert dear.energy[name].sum() < free.energy[name].sum()
        assert dear.layers[name].sum() > free.layers[name].sum()


def test_losses_are_in_nats_per_token_of_what_rows_are_worth(cases):
    """Twice the weights lose four times as much: errors are squared, worths stay."""
    case = cases["llama"]
    before = measure_tile_losses(case.loaded.model, case.sensitivity, BOOKS, CONFIG)
    name, linear = next(iter((name, module) for name, module in case.loaded.model.named_modules()
                             if name in before.layers))
    with torch.no_grad():
        linear.weight.mul_(2)
        try:
            after = measure_tile_losses(case.loaded.model, case.sensitivity, BOOKS, CONFIG)
        finally:
            linear.weight.div_(2)
    assert np.allclose(after.layers[name], 4 * before.layers[name], rtol=1e-2)
