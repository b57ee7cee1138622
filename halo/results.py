"""Results of a run on disk: per method its plan, costs and accuracy; for the run what all of them share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from characterization.artifact import write_text
from halo.cost import CostReport, load_cost, save_cost
from halo.errors import OutputError
from halo.evaluation import Estimate, Quality
from halo.layers import EffectiveBits
from halo.plan import DvfsPlan
from halo.plan_file import load_plan, save_plan

SCHEMA = 1
RESULTS, RUN_FILE = "results", "run.json"
PHASES = ("prefill", "decode")


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How well a method predicts, with what it was measured by.

    Attributes:
        key: of the quantized model, the text and the protocol: equal keys need no second measurement.
        window_kl: KL of every window, less that of int8 activations, nats.
    """

    key: str
    quality: Quality
    window_kl: np.ndarray


@dataclass(frozen=True, eq=False)
class MethodResult:
    """Everything the report says about one method.

    Attributes:
        costs: by phase, on the run's first accelerator.
        file_bits: bits of the whole checkpoint folder per weight of the model, embeddings included.
        worst_layer, worst_loss: the layer whose output error is the largest share of its output energy.
        fallbacks: layer -> what went differently from what was asked.
    """

    label: str
    ours: bool
    says: str
    plan: DvfsPlan
    costs: Mapping[str, CostReport]
    accuracy: Accuracy
    bits: EffectiveBits
    file_bits: float
    worst_layer: str
    worst_loss: float
    fallbacks: Mapping[str, str]


def quality_from(fields: Mapping[str, Any]) -> Quality:
    """Return the quality whose `asdict` this is."""
    estimates = {name: Estimate(**fields[name]) for name in ("kl", "net_kl")}
    return Quality(**{**fields, **estimates})


def save_accuracy(accuracy: Accuracy, path: Path) -> None:
    """Write an accuracy as JSON, in one step."""
    content = {"schema": SCHEMA, "kind": "halo.Accuracy", "key": accuracy.key, "quality": asdict(accuracy.quality),
               "window_kl": accuracy.window_kl.tolist()}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_accuracy(path: Path) -> Accuracy:
    """Return the accuracy saved at `path`."""
    content = read_json(path)
    return Accuracy(content["key"], quality_from(content["quality"]), np.array(content["window_kl"]))


def save_result(result: MethodResult, out: Path) -> None:
    """Write one method's result under `out`/results; the accuracy is there already."""
    folder = out / RESULTS / result.label
    save_plan(result.plan, folder / "plan.json")
    for phase, cost in result.costs.items():
        save_cost(cost, folder / f"cost-{phase}.json")
    content = {"schema": SCHEMA, "kind": "halo.MethodResult", "ours": result.ours, "says": result.says,
               "bits": asdict(result.bits), "file_bits": result.file_bits, "worst_layer": result.worst_layer,
               "worst_loss": result.worst_loss, "fallbacks": dict(result.fallbacks)}
    write_text(folder / "method.json", json.dumps(content, indent=1) + "\n")


def load_result(out: Path, label: str) -> MethodResult:
    """Return the result of one method.

    Raises:
        OutputError: a file is missing, damaged or of another schema.
    """
    folder = out / RESULTS / label
    content = read_json(folder / "method.json")
    costs = {phase: load_cost(folder / f"cost-{phase}.json") for phase in PHASES}
    return MethodResult(
        label, content["ours"], content["says"], load_plan(folder / "plan.json"), costs,
        load_accuracy(folder / "accuracy.json"), EffectiveBits(**content["bits"]), content["file_bits"],
        content["worst_layer"], content["worst_loss"], content["fallbacks"])


def save_run(out: Path, content: Mapping[str, Any]) -> None:
    """Write what all methods of a run share: its configuration, inputs, references and order of methods."""
    whole = {"schema": SCHEMA, "kind": "halo.Run", **content}
    write_text(out / RUN_FILE, json.dumps(whole, indent=1, default=str) + "\n")


def load_run(out: Path) -> dict[str, Any]:
    """Return what `save_run` wrote.

    Raises:
        OutputError: there is no run in `out`, or it cannot be read.
    """
    return read_json(out / RUN_FILE)


def load_results(out: Path, labels: Sequence[str]) -> tuple[MethodResult, ...]:
    """Return the results of a run, in its order.

    Raises:
        OutputError: one is missing or damaged.
    """
    return tuple(load_result(out, label) for label in labels)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file of ours.

    Raises:
        OutputError: it is missing, damaged, or of another schema.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = content["schema"]
    except FileNotFoundError as error:
        raise OutputError(f"{path}: missing, the run is not finished; take `halo run` to its end.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{path}: not a readable result ({error!r}); run `halo run` again.") from error
    if found != SCHEMA:
        raise OutputError(f"{path}: schema {found}, this program reads {SCHEMA}; run `halo run` again.")
    return content
