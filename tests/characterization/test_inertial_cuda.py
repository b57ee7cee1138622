"""Both engines on the same transitions: under numba's simulator of CUDA always, on a device where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import cuda

from characterization import cli, inertial_cuda
from characterization.benches.core import net_order
from characterization.commands.options import device_named
from characterization.errors import SimulationError, ToolMissingError
from characterization.flat import EdgeCosts
from characterization.simulation import simulate
from characterization.timed import RISE
from tests.characterization.made_cores import core, gate, random_core, random_states, sink, source, stimulus_of

ROOT = Path(__file__).parents[2]
INV = 0b01


def random_costs(timed, seed):
    """Costs of every kind, drawn: of edges by cause, of input edges themselves, of launching; edges take their time."""
    rng = np.random.default_rng(seed)
    shapes = [(len(g.nets), 1 << len(g.nets)) for g in timed.gates]
    caused, hidden = (tuple(rng.integers(-5, 99, shape) for shape in shapes) for _ in range(2))
    sources = len(timed.sources)
    rails, pairs = rng.integers(0, 40, (2, len(timed.gates)))
    launch = rng.integers(0, 9, (sources, 2, 2))
    return EdgeCosts(rng.integers(0, 99, (sources, 2)), caused, hidden, rails, pairs, launch)


def check_equal(seed, gates, steps, blocks=2):
    """Check that a random core does the same on both."""
    timed = random_core(seed, 6, gates)
    states = random_states(seed, blocks, steps, 6)
    stimulus = stimulus_of(states, np.arange(steps) > 1)
    one, two = (simulate(timed, stimulus, [0, 3, 5], random_costs(timed, seed), device=device)
                for device in ("cpu", "cuda"))
    for name in ("settle_ps", "cost", "launch_cost", "edges"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert two.edges.sum() > 0
    assert two.nets == net_order(timed)


def check_failures():
    """Check that a gate without an arc is refused in the same words."""
    timed = core([source("a")], [gate("b", INV, ["a"], {(0, RISE, 0): 1.0})], [sink("b")])
    stimulus, said = stimulus_of(np.array([[[0], [1], [0]]], np.uint8)), []
    for device in ("cpu", "cuda"):
        with pytest.raises(SimulationError) as found:
            simulate(timed, stimulus, device=device)
        said.append(str(found.value))
    assert said[0] == said[1]
    assert "transition 2: " in said[0]
    assert "does not settle to its function" in said[0]


def main():
    """Run under numba's simulator; a transition first has room for fewer edges than some need."""
    inertial_cuda.CAPACITY = 16
    for seed in range(3):
        check_equal(seed, 25, 5)
    check_failures()


def test_the_kernel_gives_the_cpu_engines_numbers_under_numbas_simulator():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-m", "tests.characterization.test_inertial_cuda"],
                          cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not cuda.is_available(), reason="no CUDA device")
def test_a_device_gives_the_cpu_engines_numbers():
    check_equal(0, 200, 2000, blocks=8)
    check_failures()


@pytest.mark.skipif(cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_the_command_says_so_before_anything_is_synthesized(monkeypatch, capsys, tmp_path):
    for command in (["run", "rtl/systolic_pe_int4", "--out", str(tmp_path / "p.nc"), "--pdk", "osu018"],
                    ["energy", "rtl/systolic_pe_int4", "--out", str(tmp_path / "e.nc"), "--pdk", "osu018"]):
        monkeypatch.setattr(sys, "argv", ["characterize", *command, "--device", "cuda", "--work", str(tmp_path / "w")])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 2
        line = capsys.readouterr().err.strip()
        assert line.startswith("characterize: --device cuda: numba finds no CUDA device (")
        assert "use --device cpu" in line
        assert "\n" not in line
    assert not (tmp_path / "w").exists()
    with pytest.raises(ToolMissingError, match="no CUDA device"):
        device_named("cuda")
    with pytest.raises(SimulationError, match="--device 'tpu': no such device; it is cpu or cuda"):
        device_named("tpu")


if __name__ == "__main__":
    main()
