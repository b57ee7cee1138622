"""RunConfig: one TOML file, a table per stage, each table the stage's own config class."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from halo.accelerators import Accelerator
from halo.codebook_search import CodebookConfig
from halo.errors import ConfigError
from halo.evaluation import EvaluationConfig
from halo.methods import Method
from halo.operating_point import PointConfig
from halo.plan import DvfsConfig
from halo.plugins import resolve
from halo.prices import PriceConfig
from halo.quantize import QuantizeConfig
from halo.sensitivity import SensitivityConfig
from halo.tiles import TileConfig
from halo.tokens import WindowConfig
from halo.transform import TransformConfig
from halo.tuning import TuningConfig
from halo.workload import WorkloadConfig

PLUGINS: Mapping[str, tuple[str, type]] = {
    "method": ("halo.methods", Method), "accelerator": ("halo.accelerators", Accelerator),
}
WORDS: Mapping[Any, str] = {
    float: "a finite number", int: "an integer", str: "a text", bool: "true or false", Path: "a path",
}
# Where the array's size is told once, in [tiles], and who inherits it.
INHERITED = (("array_rows", "dvfs", "array_rows"), ("array_cols", "dvfs", "array_cols"),
             ("array_rows", "codebook", "fold"), ("array_rows", "quantize", "fold"),
             ("array_rows", "accelerator.systolic", "rows"),
             ("array_cols", "accelerator.systolic", "cols"))


DEFAULT_TILE = TileConfig().tile_in


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything `halo run` does. Paths are relative to the working directory.

    Attributes:
        model: Hugging Face model folder. profile: of the MAC. calibration, text: to quantize with and to evaluate
            on (`halo.texts`); calibration "none" is for `halo quantize` from the weights alone. out: folder of all
            artifacts.
        ignore: regular expressions; modules in whose names one is found stay as they are.
        override: regular expression -> name of a grid that the linears it is found in use instead of their codebooks.
        variants: points of the front to quantize: "perf-opt", "bal", "acc-opt", or a budget such as "energy=0.6".
        baselines: names of `halo.recipes` to put beside them.
        accelerators: names of `halo.accelerators`.
        method, accelerator: per plugin its own config.
    """

    model: Path
    profile: Path
    calibration: Path
    text: Path
    out: Path
    variants: tuple[str, ...] = ("perf-opt", "bal", "acc-opt")
    baselines: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    override: Mapping[str, str] = field(default_factory=dict)
    points: PointConfig = field(default_factory=PointConfig)
    prices: PriceConfig = field(default_factory=PriceConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    sensitivity: SensitivityConfig = field(default_factory=SensitivityConfig)
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    tiles: TileConfig = field(default_factory=TileConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    dvfs: DvfsConfig = field(default_factory=DvfsConfig)
    workload: WorkloadConfig = field(default_factory=WorkloadConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    method: Mapping[str, Any] = field(default_factory=dict)
    accelerator: Mapping[str, Any] = field(default_factory=dict)


def read_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run that the TOML file describes, with `table.key=value` overrides applied.

    Raises:
        ConfigError: the file cannot be read, or any key is unknown, missing or of another type; all problems at once.
    """
    return build_config(read_tables(path), str(path), overrides)


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error}).") from error


def build_config(tables: dict[str, Any], origin: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the run that `tables` describe; `origin` names them in errors.

    Raises:
        ConfigError: any key is unknown, missing or of another type; all problems at once.
    """
    for override in overrides:
        apply_override(tables, override)
    problems: list[str] = []
    apply_presets(tables)
    inherit_array(tables, problems)
    config = fill(RunConfig, tables, "", problems)
    if problems:
        raise ConfigError(f"{origin}: {'; '.join(problems)}.")
    return config  # type: ignore[no-any-return]


def apply_override(tables: dict[str, Any], override: str) -> None:
    """Set one `table.key=value`; the value is TOML, or else plain text.

    Raises:
        ConfigError: it is not of that form.
    """
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(f"--set {override!r} is not of the form table.key=value, such as tiles.tile_in=32.")
    place = tables
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override!r}: {part} is a value, not a table.")
    place[parts[-1]] = toml_value(text)


def toml_value(text: str) -> Any:
    """Return the TOML value of `text`, or `text` itself.

    >>> toml_value("32"), toml_value("acc-opt")
    (32, 'acc-opt')
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def apply_presets(tables: dict[str, Any]) -> None:
    """Fill in the options of an accelerator's preset, those given apart, and give `[tiles]` the array's size."""
    for name, table in tables.get("accelerator", {}).items():
        if not (isinstance(table, dict) and isinstance(table.get("preset"), str)):
            continue
        try:
            options = resolve(*PLUGINS["accelerator"][:1], name, Accelerator).PRESETS.get(table["preset"], {})
        except ConfigError:
            continue  # said with all other problems when the plugin's own table is filled
        tiles = tables.setdefault("tiles", {})
        for key, value in options.items():
            table.setdefault(key, value)
            if key in ("rows", "cols"):
                tiles.setdefault(f"array_{key}", table[key])
                tiles.setdefault("tile_in" if key == "rows" else "tile_out", min(table[key], DEFAULT_TILE))


def inherit_array(tables: dict[str, Any], problems: list[str]) -> None:
    """Give planner, codebook search and accelerator the array of `[tiles]`; note where they contradict it."""
    tiles = tables.get("tiles", {})
    defaults = TileConfig()
    for source, table, key in INHERITED:
        wanted = tiles.get(source, getattr(defaults, source))
        place = tables
        for part in table.split("."):
            place = place.setdefault(part, {})
        if place.setdefault(key, wanted) != wanted:
            problems.append(f"{table}.{key} = {place[key]} contradicts tiles.{source} = {wanted}; set [tiles] only")


def fill(cls: type, table: Mapping[str, Any], where: str, problems: list[str]) -> Any:
    """Return an instance of the dataclass `cls` from a table, noting every problem; None where there were any."""
    hints = get_type_hints(cls)
    known = {item.name: item for item in fields(cls)}
    before = len(problems)
    for key in table:
        if key not in known:
            problems.append(unknown_key(f"{where}{key}", key, known))
    values = {}
    for name, item in known.items():
        if name in table:
            values[name] = convert(table[name], hints[name], f"{where}{name}", problems)
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(f"{where}{name} is missing")
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ConfigError as error:
        problems.append(str(error).rstrip("."))
        return None


def unknown_key(place: str, key: str, known: Iterable[str]) -> str:
    """Return the problem of a key that nothing reads, with the likeliest that something does."""
    names = sorted(known)
    near = get_close_matches(key, names, 1)
    return f"{place} is no known key" + (f" (did you mean {near[0]}?)" if near else f"; known are {', '.join(names)}")


def convert(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    """Return `value` as `kind`, noting a problem where it is something else."""
    origin, arguments = get_origin(kind), get_args(kind)
    if where in PLUGINS or is_dataclass(kind):
        return convert_table(value, kind, where, problems)
    if origin in {Union, UnionType}:
        chosen = next((a for a in arguments if matches(value, a)), arguments[0])
        return convert(value, chosen, where, problems)
    if origin is tuple and isinstance(value, list):
        return tuple(convert(item, arguments[0], f"{where}[{i}]", problems) for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {key: convert(item, arguments[1], f"{where}.{key}", problems) for key, item in value.items()}
    if not matches(value, kind):
        problems.append(f"{where} = {value!r} must be {describe(kind)}")
        return None
    return kind(value) if kind in {float, Path} else value


def convert_table(value: Any, kind: Any, where: str, problems: list[str]) -> Any:
    """Return the config class of a stage or of a kind of plugins, filled from its table."""
    if not isinstance(value, dict):
        problems.append(f"{where} = {value!r} must be a table")
        return None
    return fill_plugins(value, where, problems) if where in PLUGINS else fill(kind, value, f"{where}.", problems)


def matches(value: Any, kind: Any) -> bool:
    """Return whether a TOML value is of a field's type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is Path:
        return isinstance(value, str) and bool(value)
    return isinstance(kind, type) and isinstance(value, kind)


def describe(kind: Any) -> str:
    """Return a type in words."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if get_origin(kind) in {tuple, Mapping}:
        return "a list" if get_origin(kind) is tuple else "a table"
    return WORDS.get(kind, str(kind))


def fill_plugins(tables: Any, where: str, problems: list[str]) -> Mapping[str, Any]:
    """Return each plugin's own config, filled from `[method.<name>]` or `[accelerator.<name>]`."""
    package, protocol = PLUGINS[where]
    result = {}
    for name, table in tables.items():
        try:
            module = resolve(package, name, protocol)
        except ConfigError as error:
            problems.append(f"[{where}.{name}]: {str(error).rstrip('.')}")
            continue
        result[name] = fill(module.Config, table, f"{where}.{name}.", problems)
    return result
