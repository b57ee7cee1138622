// Ripple-carry adder: {carry_out, sum} = x + y + carry_in. Slow and small, and where y is zero it passes x on at once.
module ripple_adder #(
    parameter WIDTH = 16
) (
    input  wire [WIDTH-1:0] x,
    input  wire [WIDTH-1:0] y,
    input  wire             carry_in,
    output wire [WIDTH-1:0] sum,
    output wire             carry_out
);
    // A carry that ripples through its own word is no loop.
    /* verilator lint_off UNOPTFLAT */
    wire [WIDTH:0] carry;
    /* verilator lint_on UNOPTFLAT */

    assign carry[0] = carry_in;
    assign carry[WIDTH:1] = (x & y) | (carry[WIDTH-1:0] & (x ^ y));
    assign sum = x ^ y ^ carry[WIDTH-1:0];
    assign carry_out = carry[WIDTH];
endmodule
