"""`halo`: the door for model people. Parses, calls one function of the pipeline, prints."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from characterization.artifact import write_text
from characterization.errors import CharacterizationError
from halo.commands.compare import compare
from halo.commands.folders import export, inspect
from halo.commands.folders import show as show_folder
from halo.commands.own_text import own_text
from halo.commands.terminal import INTERRUPTED, console, heed_interrupts, progress_bars, rich_table
from halo.errors import ConfigError, HaloError

if TYPE_CHECKING:
    from halo.config import RunConfig
    from halo.dry_run import DryRun
    from halo.evaluation import Quality

# Each command imports what it runs when it runs: `halo --help` must not wait for torch.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="Tables to a plan: quantize a language model onto measured codebooks, plan clocks, say what is gained.",
)  # fmt: skip
app.command()(export)
app.command()(inspect)
app.command()(compare)
app.command()(own_text)
Profile = Annotated[Path, typer.Option("--profile", help="MacProfile made by `characterize run`")]
Model = Annotated[Path, typer.Argument(help="Hugging Face model folder with safetensors")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="table.key=value, such as tiles.tile_in=32")]
Base = Annotated[Path | None, typer.Option("--config", help="TOML file to start from, as for `halo run`")]
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="text, JSON Lines or a dataset's folder to calibrate with; default: "
                 "calibration.txt in or beside the model"),
]
Work = Annotated[Path, typer.Option("--work", help="cache of finished layers; may be deleted at any time")]
NOWHERE = "not-given"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SPARSE = "method.halo.sparse.cap_share=0.0"
FRIENDLY = {"": (), "group": (NO_SPARSE,), "channel": (NO_SPARSE, "quantize.channel_scales=true")}


@app.command()
def quantize(
    model: Model,
    profile: Profile,
    out: Annotated[Path, typer.Option("--out", help="new folder for the checkpoint")],
    variant: Annotated[str, typer.Option("--variant", help="perf-opt, bal, acc-opt, or a method of `halo evaluate`")] =
        "bal",
    budget: Annotated[str, typer.Option("--budget", help="instead: time=0.8, energy=0.6, bits=3.5 or ppl=+0.5%, or "
                                                         "several, joined by commas; shares of W8A8's")] = "",
    calibration: Calibration = None,
    friendly: Annotated[str, typer.Option("--export-friendly", help="group or channel: no sparse part, and a scale per "
                                          "fold or per channel, so that `halo export` is exact")] = "",
    text: Annotated[Path | None, typer.Option("--text", help="to measure what --export-friendly costs; default: "
                                              "heldout.txt in or beside the model")] = None,
    no_data: Annotated[bool, typer.Option("--no-data", help="from the weights alone, without a text")] = False,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="modules to leave alone, a regular expression "
                                                     "of their names")] = None,
    override: Annotated[list[str] | None, typer.Option("--override", help="EXPRESSION=GRID: the grid of these layers, "
                                                       "such as down_proj=all")] = None,
    work: Work = Path("build/halo"),
    config: Base = None,
    overrides: Overrides = None,
) -> None:
    """Quantize a language model onto the codebooks that the profile makes fast.

    Example: `halo quantize examples/reference_lm/model --profile build/demo/systolic_pe.nc --out build/bal`
    """
    from halo.budget import parse_budget
    from halo.inspection import inspect_folder
    from halo.pipeline import quantize_to
    from halo.recipes import budget_recipe, named_or_variant

    recipe = budget_recipe(parse_budget(budget)) if budget else named_or_variant(variant)
    if friendly not in FRIENDLY:
        raise ConfigError(f"--export-friendly {friendly!r}; use group (a scale per fold) or channel.")
    calibration = Path("none") if no_data else calibration or calibration_of(model, config)
    text = text or beside(model, "heldout.txt")
    paths = {"model": model, "profile": profile, "calibration": calibration, "text": text, "out": work}
    run_config = merged(config, paths, [*FRIENDLY[friendly], *choices(ignore, override), *(overrides or ())])
    with progress_bars() as progress:
        quantize_to(run_config, recipe, out, progress)
    show_folder(inspect_folder(out))
    if friendly:
        print(cost_of_export(run_config, out))
    print(f"written: {out}; next: halo plan {out} --profile {profile} --out plan.json")


@app.command()
def evaluate(
    model: Model,
    text: Annotated[Path, typer.Option("--text", help="text, JSON Lines or a dataset's folder to evaluate on")],
    quantized: Annotated[list[Path] | None, typer.Option("--quantized", help="checkpoint folder(s) of ours")] = None,
    methods: Annotated[str, typer.Option("--methods", help="make and compare these, separated by commas; all: every "
                                                           "one; needs --profile")] = "",
    calibration: Calibration = None,
    profile: Annotated[Path | None, typer.Option("--profile", help="MacProfile, for --methods")] = None,
    work: Work = Path("build/halo"),
    config: Base = None,
    overrides: Overrides = None,
) -> None:
    """Measure KL to the original, net of int8 activations, and perplexity, with 95 % intervals.

    With --methods each is quantized on the same calibration text, planned and estimated on the same MAC.

    Example: `halo evaluate examples/reference_lm/model --text examples/reference_lm/heldout.txt --profile
    build/demo/systolic_pe.nc --methods gptq-w4a8,awq-w4a8,squeeze-w4a8,halo-16`
    """
    from halo.pipeline import compare_methods, evaluate_folders
    from halo.recipes import METHODS
    from halo.tables import comparison_grid

    if methods and profile is None:
        raise ConfigError("--methods needs --profile: codebooks, clocks and energies are a MAC's.")
    if methods:
        calibration = calibration or calibration_of(model, config)
    paths = {"model": model, "text": text, "calibration": calibration, "profile": profile, "out": work}
    run_config = merged(config, paths, overrides)
    if quantized or not methods:
        with progress_bars() as progress:
            found = evaluate_folders(run_config, quantized or [], progress)
        console().print(quality_table(found))
    if methods:
        names = list(METHODS) if methods == "all" else [name.strip() for name in methods.split(",")]
        with progress_bars() as progress:
            results = compare_methods(run_config, names, progress)
        console().print(rich_table(comparison_grid(results)))


def quality_table(found: Mapping[str, Quality]) -> Table:
    """Return accuracies by name."""
    protocol = next(iter(found.values())).protocol
    shown = Table("model", "KL net", "95 % interval", "perplexity", "change", "bits/byte",
                  caption=f"{protocol['windows']} windows of {protocol['window']} tokens, stride {protocol['stride']}, "
                          f"{protocol['scored_tokens']} scored; text {protocol['text_digest'][:12]}")
    for name, quality in found.items():
        net = quality.net_kl
        shown.add_row(name, f"{net.mean:.5f}", f"{net.low:.5f} .. {net.high:.5f}", f"{quality.perplexity:.4f}",
                      f"{100 * quality.perplexity_change:+.2f} %", f"{quality.bits_per_byte:.4f}")
    return shown


def show_schema(wanted: bool) -> None:
    """Print the JSON Schema of plans and stop, where that is asked for."""
    if wanted:
        from halo.plan_file import plan_schema

        print(plan_schema(), end="")
        raise typer.Exit


@app.command()
def plan(
    source: Annotated[Path, typer.Argument(help="quantized folder; with --check, a plan")],
    profile: Profile,
    out: Annotated[Path | None, typer.Option("--out", help="the plan to write (JSON)")] = None,
    check: Annotated[bool, typer.Option("--check", help="check a plan against the profile, write nothing")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="write every change of voltage or clock as CSV")] = None,
    _schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of plans and stop", is_eager=True,
                                          callback=show_schema)] = False,
    config: Base = None,
    overrides: Overrides = None,
) -> None:
    """Plan voltage and clock of every array load, and their order: least time, energy or product of both.

    Example: `halo plan build/bal --profile build/demo/systolic_pe.nc --out build/bal.json`, then
    `halo plan build/bal.json --profile build/demo/systolic_pe.nc --check`
    """
    from halo.mac import load_mac
    from halo.plan_file import load_plan, save_plan, switch_points

    if check:
        from halo.plan_check import check_plan

        found = load_plan(source)
        check_plan(found, load_mac(profile))
        print(f"{source}: {len(found.segments)} segments meet timing; the profile is the plan's.")
        if csv is not None:
            write_text(csv, switch_points(found))
            print(f"written: {csv}")
        return
    from halo.pipeline import plan_folder
    from halo.plan_tables import class_grid, phase_grid, plan_lines

    if out is None:
        raise ConfigError("--out is missing: name the plan to write, such as build/plan.json.")
    run_config = merged(config, {"profile": profile}, overrides)
    with progress_bars() as progress:
        made = plan_folder(source, run_config, progress)
    save_plan(made, out)
    for grid in (class_grid(made), phase_grid(made)):
        console().print(rich_table(grid))
    print("\n".join(plan_lines(made)))
    if csv is not None:
        write_text(csv, switch_points(made))
    print(f"written: {out}{f', {csv}' if csv else ''}")


@app.command()
def estimate(
    quantized: Annotated[Path, typer.Argument(help="quantized folder")],
    profile: Profile,
    out: Annotated[Path | None, typer.Option("--out", help="folder for the cost reports (JSON)")] = None,
    config: Base = None,
    overrides: Overrides = None,
) -> None:
    """Estimate time and energy of prefill and decode, against W8A8 and shifted W4A8 on the same MAC and voltage.

    Example: `halo estimate build/bal --profile build/demo/systolic_pe.nc --set workload.prompt_tokens=128
    --set accelerator.systolic.mode=scalesim`
    """
    from halo.cost import save_cost
    from halo.pipeline import estimate_folder
    from halo.tables import cost_grid

    own, others = estimate_folder(merged(config, {"profile": profile}, overrides), quantized)
    for phase, report in own.items():
        references = [other[phase] for other in others]
        for scope in ("linear", "all"):
            console().print(rich_table(cost_grid([*references, report], references, scope)))
        if out is not None:
            save_cost(report, out / f"cost-{phase}.json")
    for line in own["prefill"].assumptions:
        print(f"- {line}")


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="TOML file of the run")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print what would be done, per module, and stop")] = False,
    overrides: Overrides = None,
) -> None:
    """Do everything a run's file asks for: quantize, plan, estimate, evaluate, and write the report.

    Example: `halo run examples/demo/demo.toml --set tiles.tile_in=32 --dry-run`
    """
    from halo.config import read_config

    wanted = read_config(config, overrides or ())
    if dry_run:
        from halo.dry_run import dry_run as look_ahead

        show_dry_run(look_ahead(wanted))
        return
    from halo.pipeline import run as run_all
    from halo.tables import reference_of, summary_grid
    from halo.verdict import verdicts

    with progress_bars() as progress:
        results = run_all(wanted, progress)
    console().print(rich_table(summary_grid(results)))
    for line in verdicts(results, reference_of(results)):
        print(f"- {line}")
    print(f"written: {wanted.out / 'report.html'}, {wanted.out / 'report.md'}")


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="folder of a finished run")],
) -> None:
    """Write the report of a finished run again, from its saved artifacts alone.

    Example: `halo report build/demo`
    """
    from halo.report import render

    print(f"written: {render(out)}")


def cost_of_export(config: RunConfig, folder: Path) -> str:
    """Return the line that says how far a model made for export is from the original, where a text is known."""
    from halo.pipeline import evaluate_folders

    if str(config.text) == NOWHERE:
        return "KL not measured: no heldout.txt in or beside the model; name a text with --text FILE."
    with progress_bars() as progress:
        found = evaluate_folders(config, [folder], progress)[str(folder)]
    return (f"export-friendly: KL {found.kl.mean:.5f}, net of int8 activations {found.net_kl.mean:.5f} "
            f"({found.net_kl.low:.5f} .. {found.net_kl.high:.5f}), perplexity {found.perplexity:.4f} on {config.text}")


def choices(ignore: list[str] | None, override: list[str] | None) -> list[str]:
    """Return what --ignore and --override stand for in a configuration.

    Raises:
        ConfigError: an override is not of its form.
    """
    pairs = [text.rpartition("=") for text in override or ()]
    if not all(pattern and grid for pattern, _, grid in pairs):
        raise ConfigError(f"--override {override}: not of the form EXPRESSION=GRID, such as down_proj=all.")
    table = ", ".join(f"{json.dumps(pattern)} = {json.dumps(grid)}" for pattern, _, grid in pairs)
    return [*([f"ignore={json.dumps(ignore)}"] if ignore else []), *([f"override={{{table}}}"] if table else [])]


def beside(model: Path, name: str) -> Path | None:
    """Return the file `name` in or beside a model's folder; None where there is none."""
    return next((path for path in (model / name, model.parent / name) if path.is_file()), None)


def calibration_of(model: Path, config: Path | None) -> Path | None:
    """Return the calibration text that comes with a model; None where a configuration file may name one.

    Raises:
        ConfigError: there is none.
    """
    found = beside(model, "calibration.txt")
    if found is None and config is None:
        raise ConfigError(f"no calibration.txt in or beside {model}; name a text with --calibration FILE.")
    return None if config else found


def merged(base: Path | None, paths: Mapping[str, Path | None], overrides: list[str] | None) -> RunConfig:
    """Return the configuration of one command: a file's, or the defaults, with the paths given on the command line."""
    from halo.config import build_config, read_tables

    tables: dict[str, Any] = dict.fromkeys(("model", "profile", "calibration", "text", "out"), NOWHERE)
    tables |= read_tables(base) if base else {}
    tables |= {name: str(path) for name, path in paths.items() if path is not None}
    return build_config(tables, str(base or "options"), overrides or ())


def show_dry_run(found: DryRun) -> None:
    """Print what a run would do."""
    modules = Table("module", "out x in", "tiles", "folds", "loads", title="linear layers")
    for item in found.modules:
        modules.add_row(item.name, f"{item.n_out} x {item.n_in}", str(item.n_tiles), str(item.n_folds),
                        str(item.n_loads))
    recipes = Table("model", "method", "bits (index, scales)", "state", "what", title="models")
    for made in found.recipes:
        recipes.add_row(made.recipe.label, made.recipe.method, f"{made.bits_low:.3f} .. {made.bits_high:.3f}",
                        "there, reused if made from the same inputs" if made.done else "to be made", made.recipe.says)
    skipped = Table("module", "why", title="not quantized")
    for name, reason in found.skipped.items():
        skipped.add_row(name, reason)
    memory = Table("what", "MB", title="largest needs of memory")
    for name, need in found.memory_mb.items():
        memory.add_row(name, f"{need:.0f}")
    for shown in (modules, recipes, skipped, memory):
        console().print(shown)


def main() -> None:
    """Run the command line; our own errors become one line and exit code 2, anything else is a bug."""
    heed_interrupts()
    try:
        app()
    except (HaloError, CharacterizationError) as error:
        print(f"halo: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        full = error.errno in FULL
        if not full and error.filename is None:
            raise
        way_on = "; free space and run the same command again: finished layers are kept" if full else ""
        print(f"halo: {error.filename or 'disk'}: {error.strerror}{way_on}.", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer makes Ctrl-C an exit with this code, without a word.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("halo: stopped; run the same command again to go on where it was.", file=sys.stderr)
        sys.exit(INTERRUPTED)
