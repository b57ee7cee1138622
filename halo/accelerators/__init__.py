"""Accelerators: each file is one, with `Config` and `estimate`; it sees a workload, a plan and the MAC's tables."""

from __future__ import annotations

from typing import Any, Protocol

from characterization.profile import MacProfile
from halo.cost import CostReport
from halo.plan import DvfsPlan
from halo.workload import Workload


class Accelerator(Protocol):
    """What a module of this package offers.

    Attributes:
        Config: a frozen dataclass, filled from `[accelerator.<name>]`.
    """

    Config: Any

    def estimate(self, workload: Workload, plan: DvfsPlan, profile: MacProfile, config: Any) -> CostReport:
        """Return time and energy of one pass."""
        ...
