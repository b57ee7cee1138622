"""Seconds and peak memory per layer of a Llama of 7B shapes, quantized layer by layer, and the whole extrapolated.

A synthetic checkpoint of a few decoder layers of real width (random bf16 weights, small vocabulary) goes through the
same `quantize` as any model: weights read by memory map, one block float32 at a time, inputs of quantized layers passed
on, every finished linear written before the next. By default one linear of each shape is quantized and stands for the
others of that shape; `--all` takes all seven. With `--before`, the passes before quantization instead: Hessians,
moments of gradients, the histogram that codebooks are searched on, and the losses of tiles.

    python benchmarks/large_model.py --windows 4 --window 256
    python benchmarks/large_model.py --windows 4 --window 256 --before
    python benchmarks/large_model.py --hidden 256 --inner 688 --layers 2 --all      # seconds; to see that it works
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig

from halo.checkpoint import save_quantized
from halo.codebook import GRIDS, Codebook
from halo.datafree import uniform_sensitivity
from halo.methods import halo as method
from halo.model import list_linears, open_model
from halo.quantize import Job, QuantizeConfig, quantize
from halo.sensitivity import SensitivityConfig, measure_sensitivity
from halo.shards import write_shards
from halo.tile_losses import measure_tile_losses
from halo.tiles import TileConfig, uniform_map
from halo.tokens import TokenWindows
from halo.weight_histogram import weight_histograms

BLOCKS_7B = 32
VOCABULARY = 1000
SAME_SHAPE = {"q_proj": 4, "up_proj": 2, "down_proj": 1}  # one of each shape stands for so many of a block
OTHERS = ("k_proj", "v_proj", "o_proj", "gate_proj")
MB = 1e6


def main() -> None:
    """Parse, build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--inner", type=int, default=11008)
    parser.add_argument("--layers", type=int, default=1, help="decoder layers of the synthetic model")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--window", type=int, default=256, help="tokens of a window")
    parser.add_argument("--batch", type=int, default=1, help="windows run together, but for gradients")
    parser.add_argument("--sweeps", type=int, default=2, help="sweeps of coordinate descent")
    parser.add_argument("--grid", default="w4-shifted", choices=sorted(GRIDS))
    parser.add_argument("--all", action="store_true", help="quantize all linears, not one of each shape")
    parser.add_argument("--before", action="store_true", help="the passes before quantization, of all linears")
    parser.add_argument("--work", type=Path, default=None, help="where to work (default: a folder that is removed)")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="large-model-"))
    try:
        measure_before(options, work) if options.before else measure(options, work)
    finally:
        if options.work is None:
            shutil.rmtree(work)


def build(folder: Path, hidden: int, inner: int, layers: int) -> int:
    """Write a Llama with random bf16 weights, one tensor in memory at a time; return its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
                         num_attention_heads=max(1, hidden // 128), num_key_value_heads=max(1, hidden // 128),
                         tie_word_embeddings=False, architectures=["LlamaForCausalLM"], dtype="bfloat16")
    config.save_pretrained(folder)
    generator = torch.Generator().manual_seed(7)

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for name, shape in shapes(hidden, inner, layers):
            if len(shape) == 1:
                yield name, torch.ones(shape, dtype=torch.bfloat16)
            else:
                yield name, (torch.randn(shape, generator=generator) * shape[1] ** -0.5).to(torch.bfloat16)

    write_shards(folder, tensors(), shard_bytes=200_000_000)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def shapes(hidden: int, inner: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of every tensor of a Llama."""
    yield "model.embed_tokens.weight", (VOCABULARY, hidden)
    for index in range(layers):
        place = f"model.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{place}.self_attn.{name}.weight", (hidden, hidden)
        yield f"{place}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{place}.mlp.up_proj.weight", (inner, hidden)
        yield f"{place}.mlp.down_proj.weight", (hidden, inner)
        yield f"{place}.input_layernorm.weight", (hidden,)
        yield f"{place}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (VOCABULARY, hidden)


@dataclass
class Watch:
    """Samples the memory of this process that no file backs, in bytes, and remembers the most since it was asked."""

    peak: int = 0
    running: bool = True

    def sample(self) -> int:
        """Return what is held now."""
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        held = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
        self.peak = max(self.peak, held)
        return held

    def run(self) -> None:
        """Sample until told to stop."""
        while self.running:
            self.sample()
            time.sleep(0.02)

    def take(self) -> int:
        """Return the most since the last call."""
        peak, self.peak = max(self.peak, self.sample()), 0
        return peak


@dataclass
class Laps:
    """Wall seconds, processor seconds and peak memory beyond the program's own, in bytes, from lap to lap."""

    watch: Watch
    base: int
    rows: list[tuple[str, float, float, int]] = field(default_factory=list)
    clock: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """Begin a lap."""
        self.clock = (time.perf_counter(), time.process_time())
        self.watch.take()

    def end(self, name: str = "") -> None:
        """End a lap, and begin the next."""
        wall, cpu = time.perf_counter() - self.clock[0], time.process_time() - self.clock[1]
        self.rows.append((name, wall, cpu, self.watch.take() - self.base))
        self.start()


def watching() -> Laps:
    """Return laps that are watched from now on; what is held now is the program's own."""
    watch = Watch()
    threading.Thread(target=watch.run, daemon=True).start()
    return Laps(watch, watch.sample())


def synthetic_tokens(options: argparse.Namespace) -> TokenWindows:
    """Return windows of random tokens."""
    ids = np.random.default_rng(7).integers(0, VOCABULARY, (options.windows, options.window))
    return TokenWindows(ids, ids.size, ids.size, "synthetic")


def measure_before(options: argparse.Namespace, work: Path) -> None:
    """Build the model, run the passes before quantization and print what each took."""
    build(work / "model", options.hidden, options.inner, options.layers)
    laps = watching()
    model, tokens = open_model(work / "model"), synthetic_tokens(options)
    book = Codebook(options.grid, GRIDS[options.grid], 1000.0)

    def note(done: int, total: int) -> None:
        index, forward = (done - 1, True) if 2 * done <= total else (total - done, False)
        laps.end(f"block {index}: " + ("Hessians" if forward else "moments of gradients"))

    laps.start()
    config = SensitivityConfig(options.windows, options.windows, options.batch)
    sensitivity = measure_sensitivity(model, tokens, config, work / "work", "synthetic", note)
    laps.start()
    weight_histograms(model, sensitivity, 128)
    laps.end("histogram of weights")
    measure_tile_losses(model, sensitivity, (book,), TileConfig())
    laps.end("losses of tiles, one codebook")
    laps.watch.running = False
    shown = Table("pass", "wall s", "CPU s", "peak MB", title=f"{options.windows} x {options.window} tokens")
    for name, wall, cpu, peak in laps.rows:
        shown.add_row(name, f"{wall:.1f}", f"{cpu:.1f}", f"{peak / MB:.0f}")
    Console(width=120).print(shown)
    show_memory(options, max(row[3] for row in laps.rows), 2 * 4 * tokens.ids.size * options.hidden)


def show_memory(options: argparse.Namespace, worst: int, activations: int) -> None:
    """Print the most memory in decoder layers, and how busy the machine was."""
    block = 4 * (4 * options.hidden**2 + 3 * options.hidden * options.inner)
    print(f"most memory, beyond the program's own and the files' maps: {worst / MB:.0f} MB = "
          f"{(worst - activations) / block:.2f} decoder layers in float32 ({block / MB:.0f} MB each) + calibration "
          f"activations ({activations / MB:.0f} MB).")
    print(f"load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, "
          f"{torch.get_num_threads()} threads.")


def measure(options: argparse.Namespace, work: Path) -> None:
    """Build the model, quantize it and print the tables."""
    size = build(work / "model", options.hidden, options.inner, options.layers)
    laps = watching()
    model = open_model(work / "model", () if options.all else OTHERS)
    opened = laps.watch.take() - laps.base
    linears = list_linears(model).linears
    tiles = TileConfig()
    maps = {name: uniform_map(name, part.out_features, part.in_features, tiles) for name, part in linears.items()}
    book = Codebook(options.grid, GRIDS[options.grid], 1000.0)
    calibration = QuantizeConfig(options.windows, options.batch, 128)
    job = Job((book,), maps, "halo", method.Config(sweeps=options.sweeps), calibration)
    tokens = synthetic_tokens(options)
    laps.start()
    made = quantize(model, tokens, uniform_sensitivity(model, "synthetic"), job, work / "work",
                    progress=lambda *_: laps.end())
    rows = list(laps.rows)
    save_quantized(work / "out", work / "model", made)
    laps.end()
    laps.watch.running = False
    show(options, [(name, part.weight.numel()) for name, part in linears.items()], rows)
    _, wall, _, peak = laps.rows[-1]
    print(f"opening {size / MB:.0f} MB took {opened / MB:.0f} MB; writing the checkpoint {wall:.1f} s and "
          f"{peak / MB:.0f} MB.")
    show_memory(options, max(row[3] for row in rows), 3 * 4 * tokens.ids.size * options.hidden)


def show(
    options: argparse.Namespace, linears: list[tuple[str, int]], rows: list[tuple[str, float, float, int]]
) -> None:
    """Print the table of layers, and the whole model's time from them."""
    shown = Table("linear", "weights", "wall s", "CPU s", "peak MB",
                  title=f"{options.windows} x {options.window} tokens, {options.sweeps} sweeps, {options.grid}; "
                        "seconds include the pass that gathers inputs")
    total = [0.0, 0.0]
    # The order of quantization is that of calls, which in a Llama is that of the list but for equal inputs.
    for (name, weights), (_, wall, cpu, peak) in zip(linears, rows, strict=True):
        shown.add_row(name, f"{weights / MB:.1f} M", f"{wall:.1f}", f"{cpu:.1f}", f"{peak / MB:.0f}")
        times = 1 if options.all else SAME_SHAPE[name.rpartition(".")[2]]
        total = [total[0] + times * wall / options.layers, total[1] + times * cpu / options.layers]
    Console(width=120).print(shown)
    print(f"one decoder layer: {total[0]:.0f} s wall, {total[1]:.0f} s CPU; {BLOCKS_7B} of them (extrapolated): "
          f"{BLOCKS_7B * total[0] / 3600:.2f} h wall, {BLOCKS_7B * total[1] / 3600:.2f} h CPU.")


if __name__ == "__main__":
    main()
