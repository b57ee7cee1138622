"""Tables and a language model in, a quantized model, a voltage/frequency plan and an honest report out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo.hf import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import `load` when first asked for: `import halo` must not start torch."""
    if name == "load":
        from halo.hf import load  # noqa: PLC0415  the point of this function

        return load
    raise AttributeError(f"module 'halo' has no attribute {name!r}")
