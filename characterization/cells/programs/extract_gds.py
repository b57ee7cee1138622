"""A program of its own: the shapes of a GDS file as rectangles, in JSON. Nothing else of this project imports klayout.

    python extract_gds.py CELL.gds LAYER/DATATYPE ...

Prints `{"cell": name, "layers": {"66/20": [[left, bottom, right, top], ...]}, "texts": {"67/5": [["A", x, y], ...]}}`
with lengths in nm; rectangles of one layer do not overlap, and their order does not depend on the order in the file.
"""

import json
import sys


def main(path: str, wanted: list[str]) -> None:
    """Print the layers `wanted` of the only top cell of the file at `path`."""
    from klayout import db

    layout = db.Layout()
    layout.read(path)
    nm = round(layout.dbu * 1000)
    tops = layout.top_cells()
    if len(tops) != 1:
        raise SystemExit(f"{path} has {len(tops)} top cells; one is expected.")
    layers: dict[str, list[list[int]]] = {}
    texts: dict[str, list[list[object]]] = {}
    for name in wanted:
        layer, datatype = map(int, name.split("/"))
        index = layout.find_layer(layer, datatype)
        if index is None:
            continue
        region = db.Region(tops[0].begin_shapes_rec(index)).merged()
        if not region.is_empty() and not all(polygon.is_rectilinear() for polygon in region.each()):
            raise SystemExit(f"{path}: layer {name} has shapes that are not rectilinear.")
        boxes = [piece.bbox() for piece in region.decompose_trapezoids_to_region().each()]
        layers[name] = sorted([box.left * nm, box.bottom * nm, box.right * nm, box.top * nm] for box in boxes)
        found = db.Texts(tops[0].begin_shapes_rec(index))
        texts[name] = sorted([text.string, text.x * nm, text.y * nm] for text in found.each())
    sys.stdout.write(json.dumps({"cell": tops[0].name, "layers": layers, "texts": texts}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
