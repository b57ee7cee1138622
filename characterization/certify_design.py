"""certify_profile(), certify_design(): certificates of codebooks for a profile, and of a design from its Verilog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from characterization.annotation import annotate
from characterization.certify import (
    Certificate,
    CertifyConfig,
    Mode,
    Progress,
    certify_set,
    certify_weights,
    checked,
)
from characterization.corner_library import read_corner
from characterization.corner_stages import StageProgress
from characterization.design import MacDesign, read_design
from characterization.errors import CertifyError
from characterization.netlist import abut
from characterization.pdk import Pdk
from characterization.pipeline import map_design, reopen, slowest
from characterization.profile import MacProfile
from characterization.set_certificate import SetCertificate
from characterization.timed import TimedNetlist

FOLDER = "certificates"


@dataclass(frozen=True, slots=True)
class Certified:
    """One proved delay, to be shown.

    Attributes:
        name: of the weight value or codebook.
        corner: where it holds.
        certificate: what is proved.
    """

    name: str
    corner: str
    certificate: Certificate


def certify_profile(
    profile: MacProfile, design_path: Path, pdk: Pdk, codebooks: Mapping[str, Sequence[int]], corners: Sequence[str],
    config: CertifyConfig, work: Path, progress: StageProgress,
) -> tuple[Certified, ...]:
    """Return the set certificate of every codebook at the profile's corners, or at those named.

    Weights launch with the activations: in every cycle of a streaming design, after each load of another.

    Args:
        profile: of the design; its netlist must be what is mapped now.
        design_path: a `design.toml` or its folder.
        pdk: the library.
        codebooks: sets of values by name.
        corners: names; none for all of the profile's.
        config: solver and time limit of each certificate.
        work: cache; a killed run takes up what is there.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: an unknown corner or value, another netlist, or a stage that failed.
    """
    wanted = [profile.corners[index] for index in profile.corner_indices(corners or profile.corners)]
    for codes in codebooks.values():
        profile.positions(codes)
    design, _, cores = reopen(profile, design_path, pdk, work, progress)
    timed = {core.corner.name: core.timed for core in cores}
    folder = work / f"{design.name}-{pdk.name}" / FOLDER
    jobs = [(corner, name) for corner in wanted for name in codebooks]
    found = []
    for done, (corner, name) in enumerate(jobs):
        progress("set certificates", done, len(jobs))
        certificate = certify_set(timed[corner], design, codebooks[name], config, "swap", folder)
        found.append(Certified(name, corner, certificate))
    progress("set certificates", len(jobs), len(jobs))
    return tuple(found)


def set_certificates(profile: MacProfile, found: Sequence[Certified]) -> tuple[SetCertificate, ...]:
    """Return certificates as a profile holds them."""
    mode: Literal["streaming", "swap"] = "streaming" if profile.head.weight_mode == "streaming" else "swap"
    return tuple(SetCertificate(one.corner, mode, one.certificate.codes, one.certificate.upper_ps,
                                one.certificate.lower_ps) for one in found if one.certificate.codes is not None)


def certify_design(
    design_path: Path, pdk: Pdk, corner_name: str | None, weights: Sequence[int],
    codebooks: Mapping[str, Sequence[int]], modes: Sequence[Mode], config: CertifyConfig, workers: int, work: Path,
    progress: StageProgress,
) -> tuple[Certified, ...]:
    """Return what is proved of a design's weight values and codebooks; of all values if none are named.

    Args:
        design_path: a `design.toml` or its folder.
        pdk: the library.
        corner_name: one of its corners; None for the slowest.
        weights: values to certify, all lanes alike.
        codebooks: sets of values by name.
        modes: whether the weight is constant or launched with the rest.
        config: solver and time limit of each certificate.
        workers: processes.
        work: cache; a killed run takes up what is there.
        progress: called with (stage, done, total).

    Raises:
        CharacterizationError: an unknown corner or value, or a stage that failed.
    """
    design, corner = read_design(design_path), pdk.corner(corner_name) if corner_name else slowest(pdk)
    for values in [weights, *codebooks.values()] if weights else codebooks.values():
        checked(values, design)
    folder = work / f"{design.name}-{pdk.name}"
    netlist = map_design(design, pdk, folder, progress)
    timed = annotate(abut(netlist, design.neighbours), read_corner(corner), corner, design.clock, energies=False)
    sets: dict[str, Sequence[int] | None] = dict(codebooks) if weights or codebooks else {"all values": None}
    found = []
    for mode in modes:
        tick = partial(progress, f"certificates, {mode}")
        each = values_of(timed, design, weights, mode, config, workers, folder / FOLDER, tick) if weights else ()
        found += [Certified(str(*one.codes or ()), corner.name, one) for one in each]
        found += [Certified(name, corner.name, certify_set(timed, design, codes, config, mode, folder / FOLDER))
                  for name, codes in sets.items()]
    return tuple(found)


def chosen_modes(modes: str) -> tuple[Mode, ...]:
    """Return the modes that a word stands for.

    Raises:
        CertifyError: there is no such mode.
    """
    if modes not in (*get_args(Mode), "all"):
        raise CertifyError(f"mode {modes!r} must be stationary, swap or all.")
    return tuple(mode for mode in get_args(Mode) if modes in (mode, "all"))


def values_of(
    timed: TimedNetlist, design: MacDesign, weights: Sequence[int], mode: Mode, config: CertifyConfig, workers: int,
    folder: Path, progress: Progress,
) -> tuple[Certificate, ...]:
    """Return one certificate for each weight value."""
    found = certify_weights(timed, design, weights, mode, config, workers, progress, folder)
    return tuple(
        Certificate((weight,), mode, float(found.lower_ps[row]), float(found.upper_ps[row]), bool(found.exact[row]),
                    float(found.topological_ps[row]),
                    dict(zip(found.sources, found.witnesses[row].tolist(), strict=True)))
        for row, weight in enumerate(found.weights)
    )
