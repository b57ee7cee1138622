"""accuracy_section(): accuracy and bits of every method, and the front of loss against time and energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halo.cost import compare
from halo.page import Chart, Grid, Section
from halo.report.run import Run, scale, short
from halo.results import MethodResult, quality_from
from halo.tables import labels_of_ours

SHAPES = ("circle", "square")


def accuracy_section(run: Run) -> Section:
    """Return accuracy and bits of every method, and the front."""
    rows = [quality_row("original (float32)", run.facts["original"], "32", "32"),
            quality_row("int8 activations only", run.facts["int8_activations"], "-", "-")]
    rows += [quality_row(r.label, None, f"{r.bits.total:.3f}", f"{r.file_bits:.2f}", r) for r in run.results]
    columns = ("method", "KL net (nats/token)", "95 % interval", "perplexity", "change", "sigmas", "bits/byte",
               "effective bits", "file bits")
    protocol = run.facts["original"]["protocol"]
    caption = (f"KL to the original, net of int8 activations, paired over {protocol['windows']} windows of "
               f"{protocol['window']} tokens ({protocol['scored_tokens']} scored, text {protocol['text_digest'][:8]}). "
               "Effective bits: per quantized weight, all parts. File bits: of the whole folder per weight of the "
               "model.")
    notes = tuple(f"{r.label}: {r.says}; worst layer {r.worst_layer}, output error {r.worst_loss:.2e} of its energy"
                  + (f"; {len(r.fallbacks)} fallbacks: {next(iter(r.fallbacks.values()))}" if r.fallbacks else "")
                  for r in run.results)
    return Section("Accuracy and bits", points=notes, charts=front_charts(run),
                   grids=(front_grid(run), Grid(columns, tuple(rows), caption, labels_of_ours(run.results))),
                   sources=run.sources("run.json", "accuracy.json", "method.json", "cost-prefill.json"))


def quality_row(
    label: str, fields: dict[str, Any] | None, bits: str, file_bits: str, result: MethodResult | None = None
) -> tuple[str, ...]:
    """Return one row of the accuracy table."""
    found = result.accuracy.quality if result else quality_from(fields or {})
    net = found.net_kl
    is_net = result is not None
    return (label, f"{net.mean:.5f}" if is_net else "-", f"{net.low:.5f} .. {net.high:.5f}" if is_net else "-",
            f"{found.perplexity:.4f}", f"{100 * found.perplexity_change:+.2f} %", f"{found.change_sigmas:+.1f}",
            f"{found.bits_per_byte:.4f}", bits, file_bits)


def axes_of(run: Run) -> dict[str, tuple[str, Callable[[MethodResult], float]]]:
    """Return what loss is drawn against: its title, and the share of W8A8's of a method (prefill, linear layers)."""
    base = run.w8a8
    return {
        "time": (f"time / {base.label}", lambda r: 1 / compare(r.costs["prefill"], base.costs["prefill"]).speedup),
        "energy": (f"on-chip energy / {base.label}",
                   lambda r: compare(r.costs["prefill"], base.costs["prefill"]).energy),
    }


def front_grid(run: Run) -> Grid:
    """Return the points of the front, and who is beaten in loss and energy, or loss and time, by no other."""
    axes = axes_of(run)
    places = {r.label: (r.accuracy.quality.net_kl.mean, *(value(r) for _, value in axes.values())) for r in run.results}
    rows = []
    for result in run.results:
        kl, time, energy = places[result.label]
        net = result.accuracy.quality.net_kl
        rows.append((result.label, f"{time:.3f}", f"{energy:.3f}", f"{net.mean:.5f}",
                     f"{net.low:.5f} .. {net.high:.5f}",
                     *("yes" if unbeaten((kl, own), [(p[0], p[at]) for p in places.values()]) else "no"
                       for at, own in ((1, time), (2, energy)))))
    columns = ("method", *(title for title, _ in axes.values()), "KL net", "95 % interval", "on the front of time",
               "on the front of energy")
    caption = "Prefill, linear layers, without DRAM. On a front: no other method is as good in both and better in one."
    return Grid(columns, tuple(rows), caption, labels_of_ours(run.results))


def unbeaten(own: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    """Return whether no other point is at most as much in both, and less in one.

    >>> unbeaten((1.0, 2.0), [(1.0, 2.0), (0.5, 2.0)]), unbeaten((1.0, 2.0), [(0.5, 3.0)])
    (False, True)
    """
    return not any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in others)


def front_charts(run: Run) -> tuple[Chart, ...]:
    """Return loss against time and against energy, one mark per method with its interval."""
    return tuple(front_chart(run, name, title, value) for name, (title, value) in axes_of(run).items())


def front_chart(run: Run, name: str, title: str, value: Callable[[MethodResult], float]) -> Chart:
    """Return loss against one cost."""
    labels = [result.label for result in run.results]
    values = []
    for number, result in enumerate(run.results, 1):
        net = result.accuracy.quality.net_kl
        values.append({"method": result.label, "number": str(number), "x": short(value(result)), "kl": short(net.mean),
                       "low": short(net.low), "high": short(net.high), "ppl": short(result.accuracy.quality.perplexity),
                       "bits": short(result.bits.total), "codebooks": "searched" if result.ours else "fixed grid"})
    positive = all(result.accuracy.quality.net_kl.low > 0 for result in run.results)
    y = {"type": "quantitative", "title": "KL net (nats/token)", "axis": {"format": "~g", "tickCount": 5},
         "scale": {"type": "log", "nice": False, "padding": 16} if positive else {"type": "symlog", "constant": 1e-3}}
    tips = [{"field": "method"}, {"field": "x", "title": title, "format": ".3f"},
            {"field": "kl", "title": "KL net", "format": ".5f"}, {"field": "low", "title": "from", "format": ".5f"},
            {"field": "high", "title": "to", "format": ".5f"}, {"field": "ppl", "title": "perplexity", "format": ".4f"},
            {"field": "bits", "title": "effective bits", "format": ".3f"}]
    x = {"field": "x", "type": "quantitative", "title": title, "axis": {"tickCount": 8},
         "scale": {"zero": False, "padding": 24, "nice": False}}
    color = {"field": "method", "type": "nominal", "title": None, "scale": scale(run.colors(), labels)}
    shape = {"field": "codebooks", "type": "nominal", "title": None,
             "scale": {"domain": ["searched", "fixed grid"], "range": list(SHAPES)}}
    layers = [
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.7},
         "encoding": {"y": {"field": "low", **y}, "y2": {"field": "high"}, "color": color}},
        {"mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
         "encoding": {"y": {"field": "kl", **y}, "color": color, "shape": shape, "tooltip": tips}},
        {"mark": {"type": "text", "dx": 11, "align": "left", "fontSize": 11},
         "encoding": {"y": {"field": "kl", **y}, "text": {"field": "number"}}}]
    numbers = ", ".join(f"{at} {label}" for at, label in enumerate(labels, 1))
    return Chart(f"front-{name}", {"height": 300, "title": f"Loss against {name}", "data": {"values": values},
                                   "encoding": {"x": x}, "layer": layers},
                 f"Net KL with its 95 % interval against {title} (prefill, linear layers, on chip); lower left is "
                 f"better. Numbers: {numbers}.")
