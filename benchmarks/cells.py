"""The sky130 library characterized here, on trial: `python benchmarks/cells.py [--pdk FILE.toml] [part ...]`.

Parts: `typical`, `slow` (the cells against the foundry's), `paths` (MAC designs timed with both libraries),
`voltages` (delays and energy of each MAC over voltage; long), `chord` (interpolation at held-out voltages), `alpha`
(the alpha-power fit), `times`. Without any, all of them.
"""

from __future__ import annotations

import sys

import cells_designs
import cells_foundry
import cells_voltage

from characterization.pdk import read_pdk

PARTS = {"typical": cells_foundry.typical, "slow": cells_foundry.slow,
         "paths": cells_designs.paths, "voltages": cells_designs.voltages, "chord": cells_voltage.chord,
         "alpha": cells_voltage.alpha, "times": cells_voltage.times}  # fmt: skip


def main() -> None:
    """Run the parts named on the command line, or all."""
    asked = sys.argv[1:]
    pdk = read_pdk(asked.pop(1) if asked[:1] == ["--pdk"] else "sky130")
    asked = [name for name in asked if name != "--pdk"] or list(PARTS)
    if unknown := [name for name in asked if name not in PARTS]:
        sys.exit(f"no part {unknown[0]!r}; give some of {', '.join(PARTS)}")
    for name in asked:
        PARTS[name](pdk)
        print()


if __name__ == "__main__":
    main()
