"""The sky130 library characterized here, on trial: `python benchmarks/cells.py [part ...] [options]`.

Parts: `typical`, `slow` (the cells against the foundry's), `paths` (MAC designs timed with both libraries),
`voltages` (delays and energy of each MAC over voltage; long), `chord` (interpolation at held-out voltages), `alpha`
(the alpha-power fit), `times`. Without any, all of them.
"""

from __future__ import annotations

import argparse
from functools import partial

import cells_designs
import cells_foundry
import cells_voltage

from characterization.pdk import read_pdk

PARTS = {"typical": cells_foundry.typical, "slow": cells_foundry.slow,
         "paths": cells_designs.paths, "voltages": cells_designs.voltages, "chord": cells_voltage.chord,
         "alpha": cells_voltage.alpha, "times": cells_voltage.times}  # fmt: skip


def main() -> None:
    """Run the parts named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--pdk", default="sky130", help="a library's name or TOML file")
    parser.add_argument("--designs", nargs="+", default=[], help="of `voltages`: some MAC designs only")
    parser.add_argument("--topological", action="store_true", help="of `voltages`: certify nothing, which is quick")
    options = parser.parse_args()
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; give some of {', '.join(PARTS)}")
    pdk = read_pdk(options.pdk)
    certify = not options.topological
    runs = PARTS | {"voltages": partial(cells_designs.voltages, names=options.designs, certify=certify)}
    for name in options.parts or PARTS:
        runs[name](pdk)
        print()


if __name__ == "__main__":
    main()
