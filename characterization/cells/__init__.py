"""Transistors to Liberty: standard cells extracted, simulated in SPICE, and written as a library at any voltage."""
