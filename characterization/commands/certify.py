"""`characterize certify`: delays that no stimulus exceeds, with the vector that attains each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from characterization.commands.options import DEFAULT_PDK, LibertyPath, PdkRoot, WorkPath
from characterization.commands.progress import progress_bars
from characterization.commands.run import words_of
from characterization.errors import CertifyError

if TYPE_CHECKING:
    from characterization.certify_design import Certified

BIT = re.compile(r"(?P<bus>.+)\[(?P<bit>\d+)\]")


def certify(
    what: Annotated[Path, typer.Argument(help="a profile, which gets the certificates; or a design to look at")],
    codebooks: Annotated[
        Path | None, typer.Option(help='sets of weight values: {"schema": 1, "codebooks": {"name": [-64, 0, 64]}}')
    ] = None,
    weights: Annotated[str, typer.Option(help="weight values of a design, separated by commas: 64,-127")] = "",
    mode: Annotated[
        str, typer.Option(help="for a design: weights `stationary`, launched with the activations (`swap`), or `all`")
    ] = "all",
    design: Annotated[Path | None, typer.Option(help="the profile's design; default: rtl/NAME")] = None,
    pdk: Annotated[str | None, typer.Option("--pdk", help="the library; default: the profile's, or sky130")] = None,
    pdk_root: PdkRoot = None,
    liberty: LibertyPath = None,
    corner: Annotated[
        str, typer.Option(help="corners, separated by commas; default: all of a profile, the slowest of a design")
    ] = "",
    time_limit: Annotated[
        float | None, typer.Option(help="processor seconds for one certificate; unfinished, it stays a bracket")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="all certificates and witnesses as JSON")] = False,
    work: WorkPath = Path("build/characterize"),
) -> None:
    """Prove delays by SAT: of codebooks, added to a profile; or of a design's weight values, with their witnesses.

    Examples: `characterize certify build/dp4.nc --codebooks codebooks.json`, and
    `characterize certify rtl/systolic_pe --weights 64,-127 --mode stationary`
    """
    from characterization.certify import CertifyConfig
    from characterization.codebook_file import read_codebooks

    config = CertifyConfig(time_limit_s=time_limit)
    sets = read_codebooks(codebooks) if codebooks else {}
    if what.suffix == ".nc":
        found = to_profile(what, design, pdk, pdk_root, liberty, sets, words_of(corner), config, work)
    else:
        found = of_design(what, pdk, pdk_root, liberty, sets, integers_of(weights), corner, mode, config, workers, work)
    if as_json:
        print(json.dumps([fields_of(one) for one in found], indent=1))
        return
    Console().print(certificate_table(found))
    if what.suffix == ".nc":
        print(f"written: {what}")
        return
    for one in found:
        print(f"{one.name}, {one.certificate.mode}: {witness_text(one.certificate.witness)}")


def to_profile(
    path: Path, design: Path | None, pdk: str | None, pdk_root: Path | None, liberty: list[Path] | None,
    codebooks: Mapping[str, Sequence[int]], corners: Sequence[str], config: Any, work: Path,
) -> tuple[Certified, ...]:
    """Return the certificates of codebooks, after they were added to the profile at `path`.

    Raises:
        CertifyError: there are no codebooks.
    """
    from characterization.certify_design import certify_profile, set_certificates
    from characterization.pipeline import select_pdk
    from characterization.profile import add_certificates
    from characterization.profile_file import load_profile, save_profile

    if not codebooks:
        raise CertifyError(f"{path}: name the sets of values to certify with --codebooks FILE.")
    profile = load_profile(path)
    library = select_pdk(pdk or profile.head.library, liberty, pdk_root)
    place = design or Path("rtl") / profile.head.design
    with progress_bars() as progress:
        found = certify_profile(profile, place, library, codebooks, corners, config, work, progress)
    save_profile(add_certificates(profile, set_certificates(profile, found)), path)
    return found


def of_design(
    path: Path, pdk: str | None, pdk_root: Path | None, liberty: list[Path] | None,
    codebooks: Mapping[str, Sequence[int]], weights: Sequence[int], corner: str, mode: str, config: Any, workers: int,
    work: Path,
) -> tuple[Certified, ...]:
    """Return the certificates of a design's weight values and codebooks, at every corner named."""
    from characterization.certify_design import certify_design, chosen_modes
    from characterization.pipeline import select_pdk

    modes, library = chosen_modes(mode), select_pdk(pdk or DEFAULT_PDK, liberty, pdk_root)
    with progress_bars() as progress:
        return tuple(one for name in words_of(corner) or (None,) for one in certify_design(
            path, library, name, weights, codebooks, modes, config, workers, work, progress))


def integers_of(text: str) -> tuple[int, ...]:
    """Return the integers of a list separated by commas.

    >>> integers_of("64,-127")
    (64, -127)

    Raises:
        CertifyError: one of them is none.
    """
    words = words_of(text)
    if wrong := [word for word in words if not re.fullmatch(r"-?\d+", word)]:
        raise CertifyError(f"--weights {text!r}: {wrong[0]!r} is no integer; write them with commas between: 64,-127.")
    return tuple(map(int, words))


def certificate_table(found: Sequence[Certified]) -> Table:
    """Return one row for each certificate."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title="delays that no stimulus exceeds, ps")
    for name in ("values", "corner", "weight is"):
        shown.add_column(name, overflow="fold")
    for name in ("certified", "topological", "ratio", "attained"):
        shown.add_column(name, justify="right")
    for one in found:
        proof = one.certificate
        ratio = proof.upper_ps / proof.topological_ps if proof.topological_ps else 1.0
        shown.add_row(one.name, one.corner, "constant" if proof.mode == "stationary" else "launched",
                      f"{proof.upper_ps:.2f}", f"{proof.topological_ps:.2f}", f"{ratio:.3f}",
                      "exactly" if proof.exact else f"{proof.lower_ps:.2f}, time limit")
    return shown


def witness_text(witness: Mapping[str, int]) -> str:
    """Return the final values of all sources: buses in binary, then single nets that are 1.

    >>> witness_text({"q[0]": 1, "q[1]": 0, "carry": 1, "rst": 0})
    'q=01 carry=1'
    """
    buses: dict[str, dict[int, int]] = {}
    single = []
    for net, value in witness.items():
        if match := BIT.fullmatch(net):
            buses.setdefault(match["bus"], {})[int(match["bit"])] = value
        elif value:
            single.append(f"{net}=1")
    words = [f"{bus}={''.join(str(bits.get(bit, '-')) for bit in range(max(bits), -1, -1))}"
             for bus, bits in buses.items()]
    return " ".join([*words, *single])


def fields_of(one: Certified) -> dict[str, Any]:
    """Return a certificate as JSON."""
    proof = one.certificate
    return {"name": one.name, "corner": one.corner, "mode": proof.mode, "codes": proof.codes,
            "certified_ps": proof.upper_ps, "attained_ps": proof.lower_ps, "exact": proof.exact,
            "topological_ps": proof.topological_ps, "witness": proof.witness}
