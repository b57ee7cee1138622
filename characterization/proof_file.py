"""save_proof(), load_proof(): what a plan's proof at speed came to, as JSON beside the plan; a door to `halo`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from characterization.artifact import digest_file, write_text
from characterization.errors import ArtifactError
from characterization.proof_vectors import VECTORS_FILE

SCHEMA = 1
PROOF_FILE = "proof.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Streams through the array at one period.

    Attributes:
        cycles, results: run, and compared with the integers.
        mismatches: results that differ.
        corrupted: captures that moved within their setup window.
        latest_ps: latest requirement of a capture that counts.
    """

    period_ps: float
    cycles: int
    results: int
    mismatches: int
    corrupted: int
    latest_ps: float


@dataclass(frozen=True, slots=True)
class OutsideRecord:
    """The slowest value outside a codebook, at the class's own delay: it must fail, or the class is no faster."""

    weight: int
    certified_ps: float
    run: RunRecord


@dataclass(frozen=True, slots=True)
class EnergyRecord:
    """Energy per operation of the array and of the tables; of a load, for loading."""

    array_fj: float
    table_fj: float
    profile_fj: float
    register_fj: float
    zero_fj: float
    loading_fj: float
    charged_loading_fj: float


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """How far Icarus agrees, capture by capture."""

    cycles: int
    captures: int
    differ: int


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """What was seen of one clock class.

    Attributes:
        delay_ps: the certificate that its period rests on.
        tiles: where the tiles are from.
        witnesses: (value, certified, reached) in ps, of the slowest values.
        planned, early: the run at the planned period, and the one 1 ps below the latest requirement, which must fail.
        shortest_ps: the shortest period that works.
        outside: None where the class has all values.
        replay: None where Icarus was not asked.
        holds: whether the planned period is proved.
    """

    name: str
    corner: str
    voltage_v: float
    delay_ps: float
    tiles: tuple[str, ...]
    witnesses: tuple[tuple[int, float, float], ...]
    planned: RunRecord
    early: RunRecord
    shortest_ps: float
    outside: OutsideRecord | None
    energy: EnergyRecord
    replay: ReplayRecord | None
    holds: bool


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """The proof of one plan, and what it is of.

    Attributes:
        vectors_digest: of the file of tiles and activations that were run.
        config: array, tiles, cycles, seed, and what was given in place of the plan's own.
    """

    method: str
    design: str
    profile_digest: str
    netlist_digest: str
    vectors_digest: str
    config: Mapping[str, Any]
    classes: tuple[ClassRecord, ...]

    def why_stale(self, folder: Path, profile_digest: str) -> str:
        """Return why this is no proof of the plan in `folder` on a profile; '' where it is one."""
        if self.profile_digest != profile_digest:
            return f"it was made on profile {self.profile_digest[:12]}, the plan's is {profile_digest[:12]}"
        vectors = folder / VECTORS_FILE
        found = digest_file(vectors) if vectors.is_file() else "missing"
        if self.vectors_digest != found:
            return f"it ran the tiles of {self.vectors_digest[:12]}, {VECTORS_FILE} beside the plan is {found[:12]}"
        return ""


def save_proof(record: ProofRecord, path: Path) -> None:
    """Write a proof as JSON, in one step."""
    content = {"schema": SCHEMA, "kind": "characterization.ProofRecord", **asdict(record)}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load_proof(path: Path) -> ProofRecord:
    """Return the proof saved at `path`.

    Raises:
        ArtifactError: it is missing, damaged, or of another schema.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        found = fields.pop("schema")
        if found == SCHEMA:
            del fields["kind"]
            return ProofRecord(**{**fields, "classes": tuple(map(class_from, fields["classes"]))})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: not a readable proof ({error!r}); run `characterize prove {path.parent}` "
                            "again.") from error
    raise ArtifactError(f"{path}: proof schema {found}, this program reads {SCHEMA}; run `characterize prove "
                        f"{path.parent}` again.")


def class_from(fields: Mapping[str, Any]) -> ClassRecord:
    """Return the class of saved fields."""
    outside, replay = fields["outside"], fields["replay"]
    return ClassRecord(**{
        **fields, "tiles": tuple(fields["tiles"]), "witnesses": tuple(tuple(w) for w in fields["witnesses"]),
        "planned": RunRecord(**fields["planned"]), "early": RunRecord(**fields["early"]),
        "outside": OutsideRecord(**{**outside, "run": RunRecord(**outside["run"])}) if outside else None,
        "energy": EnergyRecord(**fields["energy"]), "replay": ReplayRecord(**replay) if replay else None})
