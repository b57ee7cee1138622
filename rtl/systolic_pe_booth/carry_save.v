// A row of full adders: x + y + z = sum + carry (modulo 2**WIDTH).
module carry_save #(
    parameter WIDTH = 24
) (
    input  wire [WIDTH-1:0] x,
    input  wire [WIDTH-1:0] y,
    input  wire [WIDTH-1:0] z,
    output wire [WIDTH-1:0] sum,
    output wire [WIDTH-1:0] carry
);
    assign sum = x ^ y ^ z;
    assign carry[0] = 1'b0;
    assign carry[WIDTH-1:1] = (x[WIDTH-2:0] & y[WIDTH-2:0]) | (z[WIDTH-2:0] & (x[WIDTH-2:0] ^ y[WIDTH-2:0]));
endmodule
