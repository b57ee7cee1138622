"""What the shipped sky130 library holds: its cells, chosen for arithmetic, and its 22 conditions."""

from __future__ import annotations

from characterization.cells.tables import Condition

CELLS = (
    "inv_1", "inv_2", "inv_4", "inv_8", "inv_12", "buf_1", "buf_2", "buf_4", "buf_8", "nand2_1", "nand2_2",
    "nand2_4", "nand2_8", "nand3_1", "nand3_2", "nand3_4", "nand4_1", "nand4_2", "nand2b_1", "nand3b_1", "nor2_1",
    "nor2_2", "nor2_4", "nor3_1", "nor4_1", "nor2b_1", "and2_1", "and2_2", "and3_1", "and4_1", "or2_1", "or2_2",
    "or3_1", "or4_1", "xor2_1", "xor2_2", "xnor2_1", "xnor2_2", "a21oi_1", "a21oi_2", "a22oi_1", "a211oi_1",
    "a221oi_1", "a31oi_1", "a21boi_0", "a21boi_1", "a21o_1", "a22o_1", "o21ai_0", "o21ai_1", "o21ai_2", "o22ai_1",
    "o22ai_2", "o211ai_1", "o31ai_1", "o21bai_1", "o21a_1", "mux2_1", "mux2_2", "mux2i_1", "maj3_1", "maj3_2",
    "ha_1", "fa_1", "dfxtp_1", "dfxtp_2", "dfxtp_4", "conb_1",
)
# Typical for energy, closer where delay bends most: between neighbours the chord is then 0.3 to 0.7 % above an
# alpha-power delay with Vt = 0.86 V, a = 1.5. Both slow corners for sign-off, at the foundry's voltages; fast for hold.
CONDITIONS = tuple(
    Condition(process, temp_c, voltage_v)
    for process, temp_c, voltages_v in (
        ("tt", 25.0, (1.20, 1.275, 1.35, 1.425, 1.525, 1.65, 1.80, 1.95)),
        ("ss", -40.0, (1.28, 1.35, 1.40, 1.44, 1.60, 1.76)),
        ("ss", 100.0, (1.28, 1.35, 1.40, 1.44, 1.60, 1.76)),
        ("ff", -40.0, (1.76, 1.95)),
    )
    for voltage_v in voltages_v
)
