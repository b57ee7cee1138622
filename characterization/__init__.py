"""Hardware to tables: a Verilog MAC and a cell library in, delay and energy of every weight value out."""
