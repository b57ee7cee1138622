"""Accelerators: each file is one, with `Config`, `machine` and `estimate`; it sees loads, a plan and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from characterization.profile import MacProfile
from halo.cost import CostReport
from halo.machine import Machine, Setup
from halo.plan import DvfsPlan
from halo.workload import Workload


class Accelerator(Protocol):
    """What a module of this package offers.

    Attributes:
        Config: a frozen dataclass, filled from `[accelerator.<name>]`.
        PRESETS: by name, options of `Config` that go together, with their sources beside them.
    """

    Config: Any
    PRESETS: Mapping[str, Mapping[str, Any]]

    def machine(self, profile: MacProfile, setup: Setup, config: Any) -> Machine:
        """Return the accelerator set up for a plan."""
        ...

    def estimate(self, workload: Workload, plan: DvfsPlan, profile: MacProfile, config: Any) -> CostReport:
        """Return time and energy of one pass."""
        ...
