import errno
import json
import os
import re
import signal
import sys

import pytest

from characterization.profile_file import save_profile
from halo import cli
from halo.checkpoint import read_quantization, save_quantized
from halo.commands import terminal
from tests.halo.synthetic import codebooks_of, synthetic_model, synthetic_profile
from tests.halo.tiny import save_model, text_of

ARRAY = ["--set", "tiles.tile_in=16", "--set", "tiles.tile_out=16", "--set", "tiles.array_rows=32",
         "--set", "tiles.array_cols=32"]
SHAPES = {f"model.layers.{i}.{name}": shape for i in range(2) for name, shape in {
    "self_attn.q_proj": (48, 48), "self_attn.k_proj": (24, 48), "self_attn.v_proj": (24, 48),
    "self_attn.o_proj": (48, 48), "mlp.gate_proj": (80, 48), "mlp.up_proj": (80, 48), "mlp.down_proj": (48, 80),
}.items()}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A model folder, a profile, and a quantized folder of made-up codes."""
    root = tmp_path_factory.mktemp("cli")
    profile = synthetic_profile()
    save_model(root / "model", "llama")
    save_profile(profile, root / "mac.nc")
    books = codebooks_of(profile, "w4-shifted", "w3-shifted")
    save_quantized(root / "bal", root / "model",
                   synthetic_model(SHAPES, books, fold=32, tile_in=16, tile_out=16))
    (root / "text.txt").write_text(text_of(600))
    return root


@pytest.fixture
def halo(monkeypatch, capsys):
    """Run the program as the console script does: exit code, stdout, stderr."""
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["halo", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        seen = capsys.readouterr()
        return caught.value.code, seen.out, seen.err

    return run


def fails(done):
    """The one line that a failure prints."""
    code, _, error = done
    assert code == 2
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    return lines[0]


def test_the_schema_of_plans_is_printed_without_a_plan(halo):
    code, said, _ = halo("plan", "--schema")
    assert code == 0
    assert json.loads(said)["$schema"].endswith("draft/2020-12/schema")


COMMANDS = ("quantize", "evaluate", "plan", "estimate", "run", "compare", "report", "export", "inspect")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(halo, command):
    code, out, _ = halo(command, "--help")
    assert code == 0
    assert re.search(rf"Example:\s+halo\s+{command}", out)


def test_a_plan_is_written_checked_and_summarized(halo, shelf, tmp_path):
    out = tmp_path / "plan.json"
    code, said, _ = halo("plan", shelf / "bal", "--profile", shelf / "mac.nc", "--out", out, *ARRAY)
    assert code == 0
    assert "frequency only: one typical voltage" in said
    assert "2 to 3 per inference is not attainable" in said
    code, said, _ = halo("plan", out, "--profile", shelf / "mac.nc", "--check")
    assert (code, "segments meet timing" in said) == (0, True)


def test_a_plan_that_its_profile_refutes_fails_the_check(halo, shelf, tmp_path):
    out, slow = tmp_path / "plan.json", tmp_path / "slow.nc"
    halo("plan", shelf / "bal", "--profile", shelf / "mac.nc", "--out", out, *ARRAY)
    save_profile(synthetic_profile(delay_ps=synthetic_profile().topological_ps[0] + 5), slow)
    assert "is clocked at" in fails(halo("plan", out, "--profile", slow, "--check"))


def test_an_estimate_stands_beside_w8a8_and_the_shifted_grid(halo, shelf, tmp_path):
    code, said, _ = halo("estimate", shelf / "bal", "--profile", shelf / "mac.nc", "--out", tmp_path / "costs",
                         "--set", "workload.prompt_tokens=32", *ARRAY)
    assert code == 0
    for part in ("w8a8-reference", "w4a8-shifted-reference", "halo-bal", "Prefill", "Decode", "memory"):
        assert part in said
    assert {path.name for path in (tmp_path / "costs").iterdir()} == {"cost-prefill.json", "cost-decode.json"}


def test_folders_are_evaluated_beside_the_original(halo, shelf, tmp_path):
    code, said, _ = halo("evaluate", shelf / "model", "--text", shelf / "text.txt", "--quantized", shelf / "bal",
                         "--work", tmp_path, "--set", "evaluation.window=32", "--set", "evaluation.windows=4")
    assert code == 0
    for part in ("original (float32)", "int8 activations", "4 windows of 32 tokens"):
        assert part in said


def test_failures_are_one_line_with_exit_code_2_and_leave_nothing(halo, shelf, tmp_path):
    out = tmp_path / "out"
    quantize = ("quantize", shelf / "model", "--out", out, "--work", tmp_path / "work")
    with_text = ("--calibration", shelf / "text.txt")
    assert "no calibration.txt in or beside" in fails(halo(*quantize, "--profile", shelf / "mac.nc"))
    assert "no such profile" in fails(halo(*quantize, *with_text, "--profile", "nowhere.nc"))
    assert "--variant 'fast'; use one of" in fails(
        halo(*quantize, *with_text, "--profile", shelf / "mac.nc", "--variant", "fast"))
    assert "tiles.tile_in = 48 does not divide" in fails(
        halo(*quantize, *with_text, "--profile", shelf / "mac.nc", "--set", "tiles.tile_in=48"))
    assert "no config.json" in fails(
        halo("quantize", tmp_path, "--out", out, *with_text, "--profile", shelf / "mac.nc"))
    assert "--out is missing" in fails(halo("plan", shelf / "bal", "--profile", shelf / "mac.nc"))
    assert "not a quantized model" in fails(
        halo("plan", shelf / "model", "--profile", shelf / "mac.nc", "--out", out))
    assert "cannot be read" in fails(halo("run", tmp_path / "none.toml"))
    assert "run.json: missing, the run is not finished" in fails(halo("report", tmp_path))
    assert not out.exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_model_made_for_export_says_what_that_costs_and_exports(halo, shelf, tmp_path):
    small = ["--set", "windows.window=32", "--set", "windows.windows=4", "--set", "sensitivity.fisher_windows=2",
             "--set", "evaluation.window=32", "--set", "evaluation.windows=4"]
    asked = ["quantize", shelf / "model", "--profile", shelf / "mac.nc", "--calibration", shelf / "text.txt", "--work",
             tmp_path / "work", "--variant", "halo-w4-shifted", "--out", tmp_path / "made", *small, *ARRAY]
    assert "--export-friendly 'both'; use group" in fails(halo(*asked, "--export-friendly", "both"))
    code, said, error = halo(*asked, "--export-friendly", "channel", "--text", shelf / "text.txt")
    assert code == 0, error
    assert "Calibrated on 4 windows of 32 tokens." in said
    assert re.search(r"export-friendly: KL 0\.\d+, net of int8 activations .* on .*text.txt", said)
    code, said, _ = halo("export", tmp_path / "made", "--out", tmp_path / "exported")
    assert code == 0
    assert "int4, 14 layers with a scale per channel; exact" in said
    assert "quantize again with --export-friendly" in fails(
        halo("export", shelf / "bal", "--out", tmp_path / "other"))
    code, said, _ = halo("inspect", tmp_path / "exported")
    assert code == 2


def test_without_data_some_layers_are_left_alone_and_others_overridden(halo, shelf, tmp_path):
    asked = ["quantize", shelf / "model", "--profile", shelf / "mac.nc", "--no-data", "--work", tmp_path / "work",
             "--variant", "halo-w4-shifted", "--out", tmp_path / "made", *ARRAY]
    assert "override 'nothing' matches no module with weights" in fails(halo(*asked, "--override", "nothing=all"))
    assert "not of the form EXPRESSION=GRID" in fails(halo(*asked, "--override", "down_proj"))
    assert "no grid 'w5'" in fails(halo(*asked, "--override", "down_proj=w5"))
    assert "ignore 'lm_haed' matches no module with weights; did you mean 'lm_head'?" in fails(
        halo(*asked, "--ignore", "lm_haed"))
    assert not (tmp_path / "made").exists()
    code, said, error = halo(*asked, "--ignore", r"layers\.0\.", "--override", "down_proj=all")
    assert code == 0, error
    assert re.search(r"layers.1.mlp.down_proj .* all 100%", said)
    assert re.search(r"layers.1.mlp.up_proj .* w4-shifted 100%", said)
    assert re.search(r"layers.0.mlp.up_proj .* ignored: 'layers", said)
    assert re.search(r"[\d,]+ weights are quantized, \d+.\d% of all, at \d.\d+ bits each: index", said)
    assert "Calibrated without data." in said


def test_a_full_disk_is_one_line(halo, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device", "work/layer")

    monkeypatch.setattr(cli, "app", full)
    assert "work/layer: No space left on device; free space and run the same command again" in fails(halo())


def test_a_place_that_cannot_be_written_is_one_line_before_any_work(halo, shelf, tmp_path, monkeypatch):
    monkeypatch.setattr("halo.pipeline.prepare", lambda *_: pytest.fail("work"))
    done = halo("quantize", shelf / "model", "--out", shelf / "text.txt" / "out", "--calibration", shelf / "text.txt",
                "--profile", shelf / "mac.nc", "--work", tmp_path / "work")
    assert fails(done).endswith("text.txt: Not a directory.") or fails(done).endswith("text.txt: File exists.")


@pytest.mark.parametrize(("options", "says"), [
    (("--set", "points.voltage_v=3.3"), "3.3"),
    (("--set", "tuning.epochs=1", "--variant", "gptq-w4a8"), "models are made by gptq: none would be tuned"),
    (("--set", "tuning.epochs=1", "--set", "windows.windows=8"), "more than the 8 calibration windows there are"),
    (("--set", "tuning.epochs=1", "--no-data"), "more than the 0 calibration windows there are"),
])
def test_what_cannot_be_done_is_said_before_anything_is_measured(halo, shelf, tmp_path, monkeypatch, options, says):
    monkeypatch.setattr("halo.pipeline.prepare", lambda *_: pytest.fail("work"))
    done = halo("quantize", shelf / "model", "--out", tmp_path / "out", "--calibration", shelf / "text.txt",
                "--profile", shelf / "mac.nc", "--work", tmp_path / "work", *options)
    assert says in fails(done)


def test_a_text_that_is_missing_is_said_before_anything_is_measured(halo, shelf, tmp_path, monkeypatch):
    monkeypatch.setattr("halo.pipeline.prepare", lambda *_: pytest.fail("work"))
    done = halo("evaluate", shelf / "model", "--text", tmp_path / "no.txt", "--calibration", shelf / "text.txt",
                "--profile", shelf / "mac.nc", "--methods", "gptq-w4a8", "--work", tmp_path / "work")
    assert "no.txt: cannot be read" in fails(done)


def test_an_output_folder_that_exists_is_refused_before_any_work(halo, shelf, tmp_path):
    (tmp_path / "out").mkdir()
    done = halo("quantize", shelf / "model", "--out", tmp_path / "out", "--calibration", shelf / "text.txt",
                "--profile", shelf / "mac.nc", "--work", tmp_path / "work")
    assert "exists already; choose another folder" in fails(done)
    assert not (tmp_path / "work").exists()


def test_a_dry_run_prints_modules_models_memory_and_what_is_skipped(halo, shelf, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        f'model = "{shelf}/model"\nprofile = "{shelf}/mac.nc"\ncalibration = "{shelf}/text.txt"\n'
        f'text = "{shelf}/text.txt"\nout = "{tmp_path}/out"\nbaselines = ["rtn-w8a8"]\n'
        "[windows]\nwindow = 32\n[evaluation]\nwindow = 32\n")
    code, said, _ = halo("run", config, "--dry-run", *ARRAY)
    assert code == 0
    for part in ("model.layers.1.mlp.down_proj", "rtn-w8a8", "halo-perf-opt", "lm_head", "decoder layer in float32"):
        assert part in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["halo.inspection.inspect_folder", "halo.cli.app"])
def test_a_keyboard_interrupt_says_how_to_go_on(halo, monkeypatch, place):
    """Inside a command, where typer meets it first, and outside."""
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stop)
    code, _, error = halo("inspect", "anything")
    assert code == 130
    assert error == "halo: stopped; run the same command again to go on where it was.\n"


def test_ctrl_c_again_ends_at_once(monkeypatch):
    ends = []
    monkeypatch.setattr(os, "_exit", ends.append)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        terminal.heed_interrupts()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert ends == [130]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminal.heed_interrupts()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_model_writes_a_text_that_it_is_calibrated_and_tuned_on(halo, shelf, tmp_path):
    out = tmp_path / "own.txt"
    code, said, _ = halo("own-text", shelf / "model", "--out", out, "--windows", 12, "--window", 48)
    assert (code, said.splitlines()[0].split(";")[0]) == (0, f"written: {out}")
    assert "own.txt exists already; choose another name" in fails(halo("own-text", shelf / "model", "--out", out))
    code, _, _ = halo("quantize", shelf / "model", "--profile", shelf / "mac.nc", "--calibration", out, "--variant",
                      "halo-w4-shifted", "--set", "windows.window=48", "--set", "windows.windows=8", "--set",
                      "tuning.epochs=1", "--set", "tuning.held=2", *ARRAY, "--work", tmp_path / "work", "--out",
                      tmp_path / "made")
    assert code == 0
    assert read_quantization(tmp_path / "made")["provenance"]["stage"] == "tune"
