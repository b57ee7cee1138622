"""Models, texts and sensitivities that many tests of the quantizer read and none changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from halo.model import LoadedModel, load_model, quiet_transformers
from halo.sensitivity import Sensitivity, SensitivityConfig, measure_sensitivity
from halo.tokens import TokenWindows, WindowConfig, cut_windows
from tests.halo.tiny import ARCHITECTURES, save_model, text_of


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
