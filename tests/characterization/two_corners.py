"""The smallest processing element at two corners: what tests of whole profiles start from."""

from dataclasses import replace
from pathlib import Path

from characterization.pdk import Pdk, read_pdk

INT4 = Path(__file__).parents[2] / "rtl" / "systolic_pe_int4"


class Stages:
    """Collects what a run reports about its progress."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[int, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen[stage] = (done, total)


def two_corners() -> Pdk:
    """The osu018 library, once as a typical and once as a slow corner of the same cells."""
    pdk = read_pdk("osu018")
    slow = replace(pdk.corners[0], name="slow", process="ss", voltage_v=1.71, multi_input=(1.2, 0.8))
    return replace(pdk, corners=(pdk.corners[0], slow))
