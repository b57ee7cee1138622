"""Layouts drawn by hand."""

from characterization.cells.layout import LAYERS, Layout


def drawing(labels=None, **boxes):
    """A layout of rectangles (left, bottom, right, top) in nm by layer."""
    found = {name: tuple(boxes.get(name, ())) for name in LAYERS}
    return Layout("drawn", found, {"li1": (), "met1": ()} | (labels or {}))


# An n-transistor of two fingers: 0.65 um wide, outer diffusions of 0.26 um, an inner one of 0.28 um with a contact.
FINGERS = {
    "diff": [(0, 0, 1100, 650)],
    "poly": [(260, -130, 410, 780), (690, -130, 840, 780), (260, 780, 840, 900)],
    "licon": [(45, 200, 215, 370), (465, 200, 635, 370), (885, 200, 1055, 370), (465, 755, 635, 895)],
    "li1": [(45, 100, 215, 500), (465, 100, 635, 500), (885, 100, 1055, 500), (465, 740, 635, 900)],
    "mcon": [(45, 320, 215, 490), (885, 320, 1055, 490)],
    "met1": [(0, 300, 1100, 500)],
}
LABELS = {"li1": (("Y", 550, 300), ("A", 550, 850)), "met1": (("VGND", 550, 400),)}
