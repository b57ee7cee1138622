"""Seconds of GPTQ (4 bits, groups of 128) by other tools and by ours: same model, same tokens, same threads, one run.

    python benchmarks/peers.py --llm-compressor ENV/bin/python --gptqmodel OTHER/bin/python
    python benchmarks/peers.py --llm-compressor ENV/bin/python --hidden 1024 --inner 2816      # a wide decoder layer

Each tool lives in an environment of its own, where `pip install llmcompressor` or `pip install gptqmodel` put it, and
is run there as a program; so is ours, here. Seconds are those of the call that quantizes: hidden states, Hessians,
rounding. Loading and writing are left out, and so are imports that come before the call. Every tool is called twice, on
a model loaded anew: the first call holds what a tool still sets up inside it (ours has numba import what compiled loops
need), the second the work itself. Ours passes inputs on in int8, `halo` the original ones beside them.
Tools run one after the other; `--repeat` takes turns, and the least of each figure counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from large_model import build
from rich.console import Console
from rich.table import Table

from halo.model import load_model
from halo.tokens import WindowConfig, read_windows

REFERENCE = Path("examples/reference_lm")
BEGIN = """
import json, os, sys, time
import numpy as np, torch
folder, ids = sys.argv[1], np.load(sys.argv[2])
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
"""
END = """
found = {}
for call in ("first", "second"):
    model = load()
    wall, cpu = time.perf_counter(), time.process_time()
    run(model)
    found |= {f"{call}_wall_s": time.perf_counter() - wall, f"{call}_cpu_s": time.process_time() - cpu}
print(json.dumps(found | {"layers": layers(model)}))
"""
LLM_COMPRESSOR = BEGIN + """
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from transformers import AutoModelForCausalLM
data = Dataset.from_dict({"input_ids": ids.tolist(), "attention_mask": np.ones_like(ids).tolist()})
def load(): return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
def layers(model): return sum(hasattr(part, "quantization_scheme") for part in model.modules())
def run(model):
    recipe = GPTQModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"])
    oneshot(model=model, dataset=data, recipe=recipe, num_calibration_samples=len(ids), max_seq_length=ids.shape[1],
            batch_size=16)
""" + END
# Version 7.6.0 gives a processor half as many workers as it has cores, and refuses to start with fewer than two.
GPTQMODEL = BEGIN + """
cores = os.cpu_count()
os.cpu_count = lambda: max(4, cores)
from gptqmodel import GPTQModel, QuantizeConfig
data = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in ids.tolist()]
def load(): return GPTQModel.load(folder, QuantizeConfig(bits=4, group_size=128, device="cpu"))
def layers(model): return sum(hasattr(part, "qweight") for part in model.model.modules())
def run(model): model.quantize(data, batch_size=16)
""" + END
OURS = BEGIN + """
import tempfile
from pathlib import Path
from halo.codebook import GRIDS, Codebook
from halo.datafree import uniform_sensitivity
from halo.methods import METHOD as method
from halo.model import list_linears, open_model
from halo.quantize import Job, QuantizeConfig, quantize
from halo.tiles import TileConfig, uniform_map
from halo.tokens import TokenWindows
tokens, book = TokenWindows(ids, ids.size, ids.size, "peers"), Codebook("w4-low", GRIDS["w4-low"], 1000.0)
def load():
    model = open_model(Path(folder), ())
    maps = {name: uniform_map(name, part.out_features, part.in_features, TileConfig())
            for name, part in list_linears(model).linears.items()}
    job = Job((book,), maps, "METHOD", method.Config(OPTIONS), QuantizeConfig(0, 16, 128))
    return model, uniform_sensitivity(model, "peers"), job
def layers(made): return len(made[2].tiles)
def run(made): quantize(made[0], tokens, made[1], made[2], Path(tempfile.mkdtemp()))
""" + END
OURS_AS = {"ours, gptq": ("gptq", "grouped=True"), "ours, halo (2 sweeps)": ("halo", "sweeps=2"),
           "ours, halo": ("halo", "")}


def main() -> None:
    """Parse, run every tool in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm-compressor", metavar="PYTHON", help="of an environment that has llmcompressor")
    parser.add_argument("--gptqmodel", metavar="PYTHON", help="of an environment that has gptqmodel")
    parser.add_argument("--windows", type=int, default=128)
    parser.add_argument("--window", type=int, default=256, help="tokens of a window")
    parser.add_argument("--hidden", type=int, help="of a synthetic decoder layer, instead of the reference model")
    parser.add_argument("--inner", type=int, default=2816)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    programs = {"llm-compressor": (options.llm_compressor, LLM_COMPRESSOR), "GPTQModel": (options.gptqmodel, GPTQMODEL)}
    programs |= {name: (sys.executable, OURS.replace("METHOD", method).replace("OPTIONS", asked))
                 for name, (method, asked) in OURS_AS.items()}
    work = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        folder = make_inputs(options, work)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for _ in range(options.repeat):
            for name, (python, program) in programs.items():
                if python:
                    found[name].append(run(name, python, program, [folder, work / "ids.npy"], options.threads))
    finally:
        shutil.rmtree(work)
    show(options, {name: runs for name, runs in found.items() if runs})


def make_inputs(options: argparse.Namespace, work: Path) -> Path:
    """Write the windows that all tools calibrate with to `work`, and return the model's folder."""
    if options.hidden is None:
        loaded = load_model(REFERENCE / "model")
        windows = WindowConfig(options.window, options.windows)
        ids = read_windows(loaded.tokenizer, REFERENCE / "calibration.txt", windows).ids
        folder = REFERENCE / "model"
    else:
        folder = work / "model"
        build(folder, options.hidden, options.inner, 1)
        for name in ("tokenizer.json", "tokenizer_config.json"):  # loaded by all, used by none
            shutil.copy(REFERENCE / "model" / name, folder)
        ids = np.random.default_rng(7).integers(0, 1000, (options.windows, options.window))
    np.save(work / "ids.npy", ids)
    return folder.resolve()


def run(name: str, python: str, program: str, inputs: list[Path], threads: int) -> dict[str, float]:
    """Return what a tool printed last: seconds of both its calls, and how many layers it quantized."""
    count = str(threads)
    environment = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "NUMBA_NUM_THREADS": count}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    command = [str(Path.cwd() / python), "-c", program, *map(str, inputs)]
    done = subprocess.run(command, env=environment, cwd=inputs[1].parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def show(options: argparse.Namespace, found: dict[str, list[dict[str, float]]]) -> None:
    """Print the table, ratios against our GPTQ."""
    best = {name: {part: min(each[part] for each in runs) for part in runs[0]} for name, runs in found.items()}
    model = f"{options.hidden} x {options.inner} decoder layer" if options.hidden else "reference model"
    table = Table("tool", "linears", "first call: wall s", "CPU s", "over ours", "second: wall s", "CPU s", "over ours",
                  title=f"{model}, {options.windows} x {options.window} tokens, {options.threads} threads")
    for name, each in best.items():
        cells = [f"{each['layers']:.0f}"]
        for call in ("first", "second"):
            cpu_s = f"{call}_cpu_s"
            cells += [f"{each[f'{call}_wall_s']:.1f}", f"{each[cpu_s]:.1f}",
                      f"{each[cpu_s] / best['ours, gptq'][cpu_s]:.2f}"]
        table.add_row(name, *cells)
    Console(width=120).print(table)
    print(f"load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; of {options.repeat} "
          "runs the least of each figure.")


if __name__ == "__main__":
    main()
