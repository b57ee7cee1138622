"""A chart's Vega-Lite specification as a still SVG, as Vega for the browser, and the browser's Vega itself.

Still and moving picture are of one specification. The only module that meets vl-convert, which brings Vega along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

# What the page's own script calls. vl-convert 1.9 hands out `vega` itself as null, so Vega comes inside its wrapper.
SNIPPET = "window.vegaEmbed = vegaEmbed;"
# Vega-Lite as vl-convert numbers it; a specification means the same picture as long as this stays.
VERSION = "6.1"
INK, SOFT, RULE = "#1f2933", "#5b6875", "#dde2e7"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
WIDTH = 1000
AXIS = {"labelColor": INK, "titleColor": SOFT, "domainColor": SOFT, "tickColor": SOFT, "gridColor": RULE,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260}
CONFIG: Mapping[str, Any] = {
    "background": "transparent", "font": FONT, "view": {"stroke": None},
    "axis": AXIS, "text": {"fill": INK, "fontSize": 12}, "rule": {"stroke": SOFT},
    "legend": {"labelColor": INK, "titleColor": SOFT, "labelFontSize": 12, "titleFontSize": 12, "orient": "top",
               "titleFontWeight": "normal", "columns": {"expr": "width < 500 ? 2 : 4"}, "labelLimit": 320,
               "symbolStrokeWidth": 2,
               "symbolBaseFillColor": SOFT, "symbolBaseStrokeColor": SOFT},
    "title": {"color": INK, "fontSize": 13, "anchor": "start", "subtitleColor": SOFT, "subtitleFontSize": 12},
}


def whole(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification in the house's style, as wide as a page unless it says else."""
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "width": WIDTH, "config": dict(CONFIG),
            "autosize": {"type": "fit-x", "contains": "padding"}, "padding": 4, **spec}


def to_vega(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite specification compiled to Vega."""
    import vl_convert  # noqa: PLC0415  (tables are printed without it)

    made: dict[str, Any] = vl_convert.vegalite_to_vega(whole(spec), vl_version=VERSION)
    return made


def to_svg(vega: Mapping[str, Any], name: str) -> str:
    """Return the still picture of a Vega specification; `name` sets its parts apart from those of other charts."""
    import vl_convert  # noqa: PLC0415

    return own_names(vl_convert.vega_to_svg(dict(vega)), name)


def own_names(svg: str, name: str) -> str:
    """Return an SVG whose clip paths and gradients are named for the chart, whatever was drawn before it.

    >>> own_names('<clipPath id="clip7"/><g clip-path="url(#clip7)"/>', "front")
    '<clipPath id="front-0"/><g clip-path="url(#front-0)"/>'
    """
    found = dict.fromkeys(re.findall(r'id="(clip\d+|gradient_\d+)"', svg))
    places = {old: f"{name}-{at}" for at, old in enumerate(found)}
    return re.sub(r'(id="|url\(#)(clip\d+|gradient_\d+)', lambda match: match[1] + places.get(match[2], match[2]), svg)


@cache
def runtime() -> str:
    """Return Vega as a script for the page; it asks nothing of the network."""
    import vl_convert  # noqa: PLC0415

    return vl_convert.javascript_bundle(SNIPPET, vl_version=VERSION).replace("</script", "<\\/script")
