"""cocotb benches on Icarus: timed activity of a core, and the function of a whole MAC, for any `MacDesign`.

The simulator's semantics are those of an inertial gate with a delay per pin, input edge and output edge: all pins that
move in one instant are one cause; the earliest cause wins; a pulse shorter than its gate is swallowed whole.
"""
