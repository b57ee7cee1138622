// The weight in non-adjacent form, two binary digits to a position of base 4: the fewest digits other than zero that any
// signed form has. At position i its digit is 1 (one) or 2 (two), times -1 where minus, or 0.
module weight_digits (
    input  wire [7:0] weight,
    output wire [3:0] one,
    output wire [3:0] two,
    output wire [3:0] minus
);
    wire [8:0] bits = {weight[7], weight};
    // A carry that ripples through its own word is no loop.
    /* verilator lint_off UNOPTFLAT */
    wire [7:0] carry;                          // digit = bit + carry - 2 * next carry
    /* verilator lint_on UNOPTFLAT */
    wire [7:0] used = bits[7:0] ^ carry;
    wire [7:0] negative = used & bits[8:1];

    assign carry[0] = 1'b0;
    assign carry[7:1] = (bits[7:1] & bits[6:0]) | (carry[6:0] & (bits[7:1] | bits[6:0]));
    assign one = {used[6], used[4], used[2], used[0]};
    assign two = {used[7], used[5], used[3], used[1]};
    assign minus = {|negative[7:6], |negative[5:4], |negative[3:2], |negative[1:0]};
endmodule
