"""Unit suffixes used in names, and the only factors between units.

Everything inside is in `ps fF fJ V C nW um2 GHz s`; parsers convert on the way in, printers on the way out.
"""

PS_PER_NS = 1000.0
FS_PER_PS = 1000
AS_PER_PS = 1_000_000
FJ_PER_PJ = 1000.0
FF_PER_PF = 1000.0
# Energy of power over time: 1 nW for 1 ps is 1e-21 J = 1e-6 fJ.
FJ_PER_NW_PS = 1e-6
PS_PER_S = 1e12
J_PER_FJ = 1e-15
