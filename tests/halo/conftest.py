"""Models, texts and sensitivities that many tests of the quantizer read and none changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from characterization.profile_file import save_profile
from halo.config import RunConfig, build_config
from halo.model import LoadedModel, load_model, quiet_transformers
from halo.pipeline import run
from halo.results import MethodResult
from halo.sensitivity import Sensitivity, SensitivityConfig, measure_sensitivity
from halo.tokens import TokenWindows, WindowConfig, cut_windows
from tests.halo.synthetic import SIGN_OFF, synthetic_profile
from tests.halo.tiny import ARCHITECTURES, save_model, text_of

Finished = tuple[Path, RunConfig, tuple[MethodResult, ...], list[tuple[str, int, int]]]


@dataclass(frozen=True)
class Case:
    """A loaded tiny model, its calibration windows and its sensitivity."""

    loaded: LoadedModel
    tokens: TokenWindows
    sensitivity: Sensitivity


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of tiny products: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    made = {}
    for kind in ARCHITECTURES:
        folder: Path = tmp_path_factory.mktemp(kind)
        loaded = load_model(save_model(folder / "model", kind))
        tokens = cut_windows(loaded.tokenizer, text_of(3000, seed=1), WindowConfig(32, 12))
        config = SensitivityConfig(windows=12, fisher_windows=6, batch=3)
        made[kind] = Case(loaded, tokens, measure_sensitivity(loaded.model, tokens, config, folder / "work"))
    return made


def whole_model(folder: Path) -> torch.nn.Module:
    """The model of a folder in float32 as transformers loads it, all of it in memory."""
    with quiet_transformers():
        model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model


@pytest.fixture(params=ARCHITECTURES)
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


def tables_of(root: Path, **changes: object) -> dict[str, object]:
    """Options of a small run in a folder."""
    tables = {"model": str(root / "model"), "profile": str(root / "mac.nc"),
              "calibration": str(root / "calibration.txt"), "text": str(root / "text.txt"),
              "out": str(root / "out"), "variants": ["bal"],
              "baselines": ["rtn-w8a8", "halo-w4-shifted"],
              "windows": {"window": 32, "windows": 8}, "sensitivity": {"windows": 8, "fisher_windows": 4, "batch": 4},
              "quantize": {"windows": 8}, "evaluation": {"window": 32, "windows": 12, "resamples": 200},
              "codebook": {"periods": 6, "scales": 4}, "workload": {"prompt_tokens": 64},
              "tiles": {"tile_in": 16, "tile_out": 16, "array_rows": 32, "array_cols": 32}}
    return tables | changes


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One small run, done once: its folder, configuration, results, and the progress it told."""
    root = tmp_path_factory.mktemp("run")
    save_model(root / "model", "llama")
    (root / "calibration.txt").write_text(text_of(500))
    (root / "text.txt").write_text(text_of(700, 1))
    save_profile(synthetic_profile(corners=SIGN_OFF), root / "mac.nc")
    config = build_config(tables_of(root), "test")
    seen = []
    results = run(config, lambda stage, done, total: seen.append((stage, done, total)))
    return root, config, results, seen
