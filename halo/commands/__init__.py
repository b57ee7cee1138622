"""Commands of `halo` that look at, or convert, a quantized folder; `halo.cli` gives them their names."""
