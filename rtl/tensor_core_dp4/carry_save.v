// A row of full adders: x + y + z + carry_in = sum + carry (modulo 2**WIDTH). carry_in takes the lowest carry's place.
module carry_save #(
    parameter WIDTH = 24
) (
    input  wire [WIDTH-1:0] x,
    input  wire [WIDTH-1:0] y,
    input  wire [WIDTH-1:0] z,
    input  wire             carry_in,
    output wire [WIDTH-1:0] sum,
    output wire [WIDTH-1:0] carry
);
    assign sum = x ^ y ^ z;
    assign carry[0] = carry_in;
    assign carry[WIDTH-1:1] = (x[WIDTH-2:0] & y[WIDTH-2:0]) | (z[WIDTH-2:0] & (x[WIDTH-2:0] ^ y[WIDTH-2:0]));
endmodule
