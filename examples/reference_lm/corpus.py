"""The reference model's text: Python's standard library source, from Debian's own packages.

`corpus.tsv` lists every file with its package, split, size and SHA-256, so the same text can be had again:

    python corpus.py fetch --out build/corpus     # apt-get download, unpack, check every digest
    python corpus.py list --out build/corpus      # how corpus.tsv was made (whole files; split by digest order)
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LISTING = HERE / "corpus.tsv"
PACKAGES = {
    "libpython3.11-minimal": "3.11.2-6+deb12u9",
    "libpython3.11-stdlib": "3.11.2-6+deb12u9",
    "libpython3.11-testsuite": "3.11.2-6+deb12u9",
}
# Generated tables, not prose a model can learn from: character maps and the help text of pydoc.
EXCLUDED = ("/encodings/", "/pydoc_data/", "/cjkencodings/")
HELDOUT_BYTES = 1_000_000
CALIBRATION_BYTES = 512_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of the corpus: where it comes from, and which split it belongs to."""

    split: str
    package: str
    path: str
    n_bytes: int
    sha256: str


def fetch_packages(out: Path) -> None:
    """Download the pinned Debian packages into `out` and unpack each into `out/<package>`."""
    out.mkdir(parents=True, exist_ok=True)
    for package, version in PACKAGES.items():
        subprocess.run(["apt-get", "download", "-qq", f"{package}={version}"], cwd=out, check=True)
        archive = next(out.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", str(archive), str(out / package)], check=True)


def list_files(out: Path) -> list[SourceFile]:
    """Return every usable file, each digest once, split by digest order: held-out first, the rest for training."""
    files: dict[str, SourceFile] = {}
    for package in PACKAGES:
        root = out / package
        for path in sorted(p for p in root.rglob("*.py") if p.is_file() and not p.is_symlink()):
            data = path.read_bytes()
            name = path.relative_to(root).as_posix()
            if data.strip() and is_utf8(data) and not any(part in f"/{name}" for part in EXCLUDED):
                digest = hashlib.sha256(data).hexdigest()
                files.setdefault(digest, SourceFile("train", package, name, len(data), digest))
    return assign_heldout(sorted(files.values(), key=lambda file: file.sha256))


def assign_heldout(files: list[SourceFile]) -> list[SourceFile]:
    """Move the first files, in digest order, to the held-out split until it has `HELDOUT_BYTES`."""
    total, listed = 0, []
    for file in files:
        split = "heldout" if total < HELDOUT_BYTES else "train"
        total += file.n_bytes
        listed.append(SourceFile(split, file.package, file.path, file.n_bytes, file.sha256))
    return sorted(listed, key=lambda file: (file.package, file.path))


def is_utf8(data: bytes) -> bool:
    """Return whether `data` decodes as UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_listing() -> list[SourceFile]:
    """Return the committed list, `corpus.tsv`."""
    with LISTING.open(newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        return [SourceFile(r["split"], r["package"], r["path"], int(r["n_bytes"]), r["sha256"]) for r in rows]


def read_split(out: Path, split: str) -> list[str]:
    """Return the texts of one split, in listed order; a file whose digest is off ends the program."""
    texts = []
    for file in read_listing():
        if file.split == split:
            data = (out / file.package / file.path).read_bytes()
            if hashlib.sha256(data).hexdigest() != file.sha256:
                sys.exit(f"{file.path}: SHA-256 differs from {LISTING}; fetch {file.package} {PACKAGES[file.package]}")
            texts.append(data.decode("utf-8"))
    return texts


def write_listing(out: Path) -> None:
    """Write `corpus.tsv`, the held-out text and the calibration text."""
    files = list_files(out)
    with LISTING.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(["split", "package", "path", "n_bytes", "sha256"])
        writer.writerows([f.split, f.package, f.path, f.n_bytes, f.sha256] for f in files)
    (HERE / "heldout.txt").write_text("\n".join(read_split(out, "heldout"))[:HELDOUT_BYTES])
    train = sorted((f for f in files if f.split == "train"), key=lambda f: f.sha256[::-1])
    texts = ((out / f.package / f.path).read_text("utf-8") for f in train[:100])
    (HERE / "calibration.txt").write_text("\n".join(texts)[:CALIBRATION_BYTES])


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["fetch", "list"])
    parser.add_argument("--out", type=Path, default=Path("build/corpus"))
    arguments = parser.parse_args()
    fetch_packages(arguments.out) if arguments.verb == "fetch" else write_listing(arguments.out)


if __name__ == "__main__":
    main()
