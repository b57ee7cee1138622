import json

import numpy as np
import pytest
from PIL import Image

from halo.checkpoint import save_quantized
from halo.commands.folders import inspect
from halo.inspection import inspect_folder
from tests.halo.synthetic import codebooks_of, synthetic_model, synthetic_profile
from tests.halo.test_cli import SHAPES
from tests.halo.tiny import save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("inspect")
    books = codebooks_of(synthetic_profile(), "w4-shifted", "w3-shifted")
    made = synthetic_model(SHAPES, books, fold=32, tile_in=16, tile_out=16, n_sparse=7)
    save_quantized(root / "out", save_model(root / "model", "llama"), made)
    return root / "out", made


def test_every_layer_is_counted_as_it_is(folder):
    path, made = folder
    view = inspect_folder(path)
    assert view.bits["total"] == made.effective_bits().total
    for layer, seen in zip(made.layers, view.layers, strict=True):
        dense = np.ones(layer.codes.shape, bool)
        dense[layer.sparse_rows, layer.sparse_cols] = False
        values, counts = np.unique(layer.codes[dense], return_counts=True)
        assert {int(v): int(c) for v, c in zip(values, counts, strict=True)} == {
            code - 128: int(n) for code, n in enumerate(seen.histogram) if n}
        assert seen.sparse_share == 7 / layer.codes.size
        assert sum(seen.class_shares.values()) == pytest.approx(1)
        assert seen.zero_share == pytest.approx((layer.codes[dense] == 0).mean())
    weights = [layer.codes.size for layer in made.layers]
    mean = np.average([seen.bits for seen in view.layers], weights=weights)
    assert mean == pytest.approx(view.bits["total"], rel=0.1)


def test_table_json_and_picture_are_written(folder, tmp_path, capsys):
    inspect(folder[0], tmp_path / "view.json", tmp_path / "view.png")
    printed = capsys.readouterr().out
    assert "model.layers.1.mlp.down_proj" in printed
    assert "w3-shifted" in printed
    found = json.loads((tmp_path / "view.json").read_text())
    assert len(found["layers"]) == len(SHAPES)
    assert set(found["layers"][0]["histogram"]) <= set(map(str, range(-128, 128, 16)))
    with Image.open(tmp_path / "view.png") as picture:
        assert picture.width > 1000
