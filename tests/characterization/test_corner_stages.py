from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characterization.corner_stages import Bench, CharacterizeConfig, CornerCore, digest_core, measure_activity, stage
from characterization.errors import SimulationError
from characterization.liberty import CellLibrary
from characterization.netlist import Netlist
from characterization.pdk import Corner
from tests.characterization.made_cores import random_core, toy_core, toy_design

CORNER = Corner("tt", (), "tt", 1.8, 25.0)
LIBRARY = CellLibrary("toy", (), {}, 1.8, 25.0)


def toy_bench(folder: Path, **changes) -> Bench:
    # Two weight codes will do.
    design = replace(toy_design(folder, "stationary"), weight_values=(0, 1))
    (folder / "design.toml").write_text("made by hand")
    config = replace(CharacterizeConfig(transitions=20, workers=1), **changes)
    return Bench(design, Netlist("toy", (), (), {}), config, folder)


def test_every_delay_energy_and_load_moves_the_digest_of_a_core():
    timed = random_core(1)
    gate = timed.gates[3]
    changed = [
        replace(timed, gates=(*timed.gates[:3], replace(gate, delay_ps=gate.delay_ps + 1e-9), *timed.gates[4:])),
        replace(timed, gates=(*timed.gates[:3], replace(gate, energy_fj=gate.energy_fj + 1e-9), *timed.gates[4:])),
        replace(timed, load_ff={timed.gates[0].net: 1.0}), replace(timed, voltage_v=timed.voltage_v + 1e-9),
        replace(timed, sinks=(replace(timed.sinks[0], setup_ps=np.array([1.0, 2.0])), *timed.sinks[1:])),
    ]
    assert digest_core(timed) == digest_core(random_core(1))
    assert len({digest_core(timed), *map(digest_core, changed)}) == 6


def test_a_stage_is_done_once_for_the_same_inputs_and_config(tmp_path: Path):
    bench, built, seen = toy_bench(tmp_path), [], []

    def ask(inputs, config):
        return stage(bench, "delays-tt", inputs, config, lambda: built.append(config) or {"floor_ps": 1.5},
                     lambda *told: seen.append(told))

    assert ask({"core": "a"}, {"version": 1}) == ask({"core": "a"}, {"version": 1}) == {"floor_ps": 1.5}
    assert len(built) == 1
    ask({"core": "b"}, {"version": 1})
    ask({"core": "a"}, {"version": 2})
    assert len(built) == 3
    assert set(seen) == {("delays tt", 0, 1), ("delays tt", 1, 1)}


@pytest.mark.parametrize(("activations", "transitions"), [("random", 20), ("exhaustive", 4**8)])
def test_activity_is_of_every_weight_and_says_what_was_simulated(tmp_path: Path, activations, transitions):
    bench = toy_bench(tmp_path, activations=activations)
    core = CornerCore(CORNER, LIBRARY, toy_core("stationary"))
    found = measure_activity(bench, core, np.full(2, 1e9), lambda *_: None)
    assert {len(found[name]) for name in ("observed_ps", "energy_fj", "energy_std_fj", "register_energy_fj")} == {2}
    assert str(transitions) in found["stimulus"] or activations in found["stimulus"]


def test_a_transition_after_the_bound_is_a_bug_and_named(tmp_path: Path):
    bench = toy_bench(tmp_path)
    with pytest.raises(SimulationError, match="weight"):
        measure_activity(bench, CornerCore(CORNER, LIBRARY, toy_core("stationary")), np.zeros(2), lambda *_: None)
