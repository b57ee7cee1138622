from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo.config import build_config, read_config, toml_value
from halo.errors import ConfigError

BASE = 'model = "m"\nprofile = "p.nc"\ncalibration = "c.txt"\ntext = "t.txt"\nout = "o"\n'


def read(tmp_path, text, *overrides):
    path = tmp_path / "run.toml"
    path.write_text(BASE + text)
    return read_config(path, overrides)


def test_a_file_of_paths_alone_is_a_run_with_every_default(tmp_path):
    config = read(tmp_path, "")
    assert config.model == Path("m")
    assert config.tiles.tile_in == 128
    assert config.accelerator["systolic"].rows == 128


def test_every_table_fills_the_class_of_its_stage(tmp_path):
    config = read(tmp_path, """
variants = ["bal"]
baselines = ["rtn-w8a8"]
[tiles]
tile_in = 32
[points]
margin = 0
[dvfs]
switch = "off-chip"
[workload]
batch = 4
[method.halo]
sweeps = 0
[method.halo.sparse]
cap_share = 0.001
[accelerator.systolic]
dram = "hbm2"
""")
    assert config.variants == ("bal",)
    assert (config.tiles.tile_in, config.workload.batch, config.dvfs.switch) == (32, 4, "off-chip")
    assert isinstance(config.points.margin, float)
    assert (config.method["halo"].sweeps, config.accelerator["systolic"].dram) == (0, "hbm2")


def test_the_array_is_told_once_and_inherited(tmp_path):
    config = read(tmp_path, "[tiles]\narray_rows = 64\narray_cols = 256\ntile_in = 64\n")
    assert (config.dvfs.array_rows, config.dvfs.array_cols) == (64, 256)
    assert (config.accelerator["systolic"].rows, config.accelerator["systolic"].cols) == (64, 256)
    assert (config.codebook.fold, config.quantize.fold) == (64, 64)
    with pytest.raises(ConfigError, match=r"dvfs.array_rows = 32 contradicts tiles.array_rows = 128; set \[tiles"):
        read(tmp_path, "[dvfs]\narray_rows = 32\n")


def test_all_problems_come_in_one_message_with_file_and_key(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, """
nonsense = 1
[tiles]
tile_inn = 32
spend = "fast"
[workload]
batch = "two"
[points]
jitter_ps = true
[dvfs]
switch = 3
[codebook]
fast_values = 1
[method.unheard]
[evaluation]
""")
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "run.toml"))
    assert "\n" not in message
    for part in ("nonsense is no known key; known are", "tiles.tile_inn is no known key (did you mean tile_in?)",
                 "tiles.spend = 'fast' must be one of 'time', 'energy'", "workload.batch = 'two' must be",
                 "points.jitter_ps = True must be a finite number", "dvfs.switch = 3 must be one of 'on-die'",
                 "codebook: need 2 <= fast_values", "[method.unheard]: no plugin 'unheard'"):
        assert part in message


def test_a_missing_path_and_a_value_in_place_of_a_table_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"options: .*model is missing"):
        build_config({}, "options")
    with pytest.raises(ConfigError, match=r"workload = 3 must be a table"):
        read(tmp_path, "workload = 3")
    with pytest.raises(ConfigError, match=r"variants = 'bal' must be a list"):
        read(tmp_path, 'variants = "bal"')
    with pytest.raises(ConfigError, match=r"variants\[0\] = 3 must be a text"):
        read(tmp_path, 'variants = [3]')


def test_overrides_replace_one_value_and_are_checked_like_the_file(tmp_path):
    config = read(tmp_path, "[tiles]\ntile_in = 64\n", "tiles.tile_in=32", "accelerator.systolic.mode=scalesim")
    assert (config.tiles.tile_in, config.accelerator["systolic"].mode) == (32, "scalesim")
    for wrong in ("nan", "inf"):
        with pytest.raises(ConfigError, match=f"points.margin = {wrong} must be a finite number"):
            read(tmp_path, "", f"points.margin={wrong}")
    with pytest.raises(ConfigError, match=r"tiles.tile_in = 'many' must be an integer"):
        read(tmp_path, "", "tiles.tile_in=many")
    with pytest.raises(ConfigError, match=r"is not of the form table.key=value, such as tiles.tile_in=32"):
        read(tmp_path, "", "tiles.tile_in")
    with pytest.raises(ConfigError, match=r"model is a value, not a table"):
        read(tmp_path, "", "model.x=1")


def test_a_file_that_is_no_toml_or_is_not_there_is_named(tmp_path):
    path = tmp_path / "run.toml"
    with pytest.raises(ConfigError, match=r"run.toml: cannot be read \(No such file"):
        read_config(path)
    path.write_text("model = ")
    with pytest.raises(ConfigError, match=r"run.toml: not valid TOML"):
        read_config(path)


@given(st.one_of(st.integers(-10**6, 10**6), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_values_of_overrides_read_as_in_the_file(value):
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert toml_value(text) == value


def test_the_demo_is_configured_for_the_reference_model():
    path = Path(__file__).parents[2] / "examples" / "demo" / "demo.toml"
    config = read_config(path)
    assert config.out == Path("build/demo")
    assert config.profile == config.out / "systolic_pe.nc"
    assert "halo-w4-shifted" in config.baselines
