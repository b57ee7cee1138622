from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from characterization.artifact import Provenance
from characterization.errors import ArtifactError
from characterization.proof_vectors import (
    ProofClass,
    ProofTile,
    ProofVectors,
    load_vectors,
    read_activations,
    save_vectors,
)


def vectors_of(**changes):
    rng = np.random.default_rng(1)
    classes = (ProofClass("fast", (-8, 0, 5), 1.8, 1000.0, 900.0, "ss", "tt"),)
    tiles = tuple(ProofTile("fast", f"layer {k}", bool(k), rng.choice([-8, 0, 5], (6, 4)).astype(np.int8),
                            rng.integers(-128, 128, (9, 6)).astype(np.int8)) for k in range(2))
    made = ProofVectors("pe", "ab" * 32, "cd" * 32, "halo-bal", classes, tiles, Provenance("proof vectors", {"a": "b"}))
    return replace(made, **changes)


def test_vectors_come_back_as_they_were_written_and_equal_ones_are_equal_bytes(tmp_path):
    made = vectors_of()
    for name in ("a.nc", "b.nc"):
        save_vectors(made, tmp_path / name)
    found = load_vectors(tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    assert vars(found) | {"tiles": ()} == vars(made) | {"tiles": ()}
    for one, other in zip(found.tiles, made.tiles, strict=True):
        assert (one.clock_class, one.origin, one.running) == (other.clock_class, other.origin, other.running)
        assert (one.weights == other.weights).all()
        assert one.activations.dtype == np.int8
        assert (one.activations == other.activations).all()


def test_parts_that_do_not_fit_together_are_named():
    tile = vectors_of().tiles[0]
    clock = vectors_of().classes[0]
    with pytest.raises(ArtifactError, match=r"class fast has a period of 0 ps; a clock needs a positive one"):
        vectors_of(classes=(replace(clock, period_ps=0.0),))
    with pytest.raises(ArtifactError, match=r"layer 0 is of class slow, which is none of fast"):
        vectors_of(tiles=(replace(tile, clock_class="slow"),))
    with pytest.raises(ArtifactError, match=r"layer 0 holds 7, which is not in class fast"):
        vectors_of(tiles=(replace(tile, weights=np.full((6, 4), 7, np.int8)),))
    with pytest.raises(ArtifactError, match=r"layer 0 is \[6, 4\] with activations \[8, 6\], others are"):
        vectors_of(tiles=(vectors_of().tiles[1], replace(tile, activations=tile.activations[:8])))
    with pytest.raises(ArtifactError, match=r"activations of \[9, 5\] do not fit the 6 rows of layer 0"):
        vectors_of(tiles=(replace(tile, activations=tile.activations[:, :5]),))


def test_a_file_that_is_missing_damaged_or_of_another_schema_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"vectors\.nc: no such file; `halo run` writes one beside each plan"):
        load_vectors(tmp_path)
    (tmp_path / "vectors.nc").write_bytes(b"not NetCDF")
    with pytest.raises(ArtifactError, match=r"not readable proof vectors"):
        load_vectors(tmp_path)
    xr.Dataset(attrs={"schema": 9}).to_netcdf(tmp_path / "vectors.nc", engine="h5netcdf")
    with pytest.raises(ArtifactError, match=r"proof vectors of schema 9, not 1; make the plan again"):
        load_vectors(tmp_path)


def test_recorded_activations_must_be_integers_as_wide_as_the_tiles(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.full((3, 6), -128))
    assert (read_activations(path, 6, 8) == -128).all()
    for values, message in (
        (np.zeros((3, 5), int), r"of shape \[3, 5\] and type int64; the tiles have 6 rows"),
        (np.zeros((1, 6), int), r"two steps at least"), (np.zeros((3, 6)), r"type float64"),
        (np.full((3, 6), 200), r"activations reach from 200 to 200, beyond 8 bits"),
    ):
        np.save(path, values)
        with pytest.raises(ArtifactError, match=message):
            read_activations(path, 6, 8)
    path.write_text("text")
    with pytest.raises(ArtifactError, match=r"not a NumPy file of activations"):
        read_activations(path, 6, 8)
