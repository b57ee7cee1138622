// Weight-stationary processing element with a short way for weights of a single digit: 0, +-1, +-2, .. +-64 and -128 are
// one shifted activation, which meets the partial sum in one level of full adders; all others take the tree of
// systolic_pe_csa. The weight chooses, so that a tile of single-digit weights never waits for the tree. Loading, swap
// token and bubble are those of systolic_pe.
//
//     sum_out + carry_out = sum_in + carry_in + act_in * weight_q
module systolic_pe_bypass #(
    parameter ACC_WIDTH = 24           // 17 to 32
) (
    input  wire                 clk,
    input  wire                 rst,           // synchronous, active high; resets control bits only
    input  wire [7:0]           act_in,
    output reg  [7:0]           act_out,
    input  wire [7:0]           weight_in,
    output reg  [7:0]           weight_out,    // shadow register
    input  wire                 weight_shift,
    input  wire                 swap_in,
    output reg                  swap_out,
    input  wire                 valid_in,
    output reg                  valid_out,
    input  wire [ACC_WIDTH-1:0] sum_in,
    input  wire [ACC_WIDTH-1:0] carry_in,
    output reg  [ACC_WIDTH-1:0] sum_out,
    output reg  [ACC_WIDTH-1:0] carry_out
);
    reg  [7:0] weight_q;                       // active register
    wire [8:0] row0, row1, row2, row3;
    wire [3:0] negative;

    booth_row rows0 (.bits({weight_q[1:0], 1'b0}), .act(act_in), .row(row0), .negative(negative[0]));
    booth_row rows1 (.bits(weight_q[3:1]), .act(act_in), .row(row1), .negative(negative[1]));
    booth_row rows2 (.bits(weight_q[5:3]), .act(act_in), .row(row2), .negative(negative[2]));
    booth_row rows3 (.bits(weight_q[7:5]), .act(act_in), .row(row3), .negative(negative[3]));

    // Instead of extending signs: -s*2**8 = (1-s)*2**10 + s*2**9 + s*2**8 - 2**10 in row 0, (1-s)*2**8 - 2**8 in the
    // others. The constants -2**10 - 2**10 - 2**12 - 2**14 make ones in columns 11, 13, and 15 upwards.
    wire [ACC_WIDTH-1:0] t0 = {{(ACC_WIDTH-11){1'b0}}, ~row0[8], row0[8], row0};
    wire [ACC_WIDTH-1:2] t1 = {{(ACC_WIDTH-12){1'b0}}, 1'b1, ~row1[8], row1[7:0]};
    wire [ACC_WIDTH-1:4] t2 = {{(ACC_WIDTH-14){1'b0}}, 1'b1, ~row2[8], row2[7:0]};
    wire [ACC_WIDTH-1:6] t3 = {{(ACC_WIDTH-15){1'b1}}, ~row3[8], row3[7:0]};

    // Level 1: six rows make four. Columns below 4 and 6 have no more than four bits yet.
    wire [ACC_WIDTH-1:4] sum_a, carry_a;
    wire [ACC_WIDTH-1:6] sum_b, carry_b;
    carry_save #(.WIDTH(ACC_WIDTH-4)) first_a (
        .x(t0[ACC_WIDTH-1:4]), .y(t1[ACC_WIDTH-1:4]), .z(t2), .carry_in(negative[2]),
        .sum(sum_a), .carry(carry_a));
    carry_save #(.WIDTH(ACC_WIDTH-6)) first_b (
        .x(t3), .y(sum_in[ACC_WIDTH-1:6]), .z(carry_in[ACC_WIDTH-1:6]), .carry_in(negative[3]),
        .sum(sum_b), .carry(carry_b));

    // Level 2: four rows make three, from column 2 upwards.
    wire [ACC_WIDTH-1:2] sum_c, carry_c;
    carry_save #(.WIDTH(ACC_WIDTH-2)) second (
        .x({sum_a, t0[3:2]}), .y({carry_a, t1[3:2]}), .z({sum_b, sum_in[5:2]}), .carry_in(negative[1]),
        .sum(sum_c), .carry(carry_c));

    // Level 3: three rows make two.
    wire [ACC_WIDTH-1:0] long_sum, long_carry;
    carry_save #(.WIDTH(ACC_WIDTH)) third (
        .x({sum_c, t0[1:0]}), .y({carry_c, sum_in[1:0]}), .z({carry_b, carry_in[5:0]}), .carry_in(negative[0]),
        .sum(long_sum), .carry(long_carry));

    // A digit is zero where its three bits are equal. Of a single digit the row is all there is.
    wire [8:0] digits = {weight_q, 1'b0};
    wire [3:0] used = {^digits[8:7] | ^digits[7:6], ^digits[6:5] | ^digits[5:4],
                       ^digits[4:3] | ^digits[3:2], ^digits[2:1] | ^digits[1:0]};
    wire       single = (used & (used - 4'd1)) == 4'd0;
    wire       minus  = |(used & negative);
    // Rows are inverted where negative; taken back here, for the row of a zero digit may be all ones.
    wire [14:0] short0 = {15{used[0]}} & {{6{row0[8]}}, row0};
    wire [14:0] short1 = {15{used[1]}} & {{4{row1[8]}}, row1, {2{minus}}};
    wire [14:0] short2 = {15{used[2]}} & {{2{row2[8]}}, row2, {4{minus}}};
    wire [14:0] short3 = {15{used[3]}} & {row3, {6{minus}}};
    wire        below  = (act_in[7] ^ minus) & |used;
    wire [ACC_WIDTH-1:0] row = {{(ACC_WIDTH-15){below}}, short0 | short1 | short2 | short3};

    wire [ACC_WIDTH-1:0] short_sum, short_carry;
    carry_save #(.WIDTH(ACC_WIDTH)) bypass (
        .x(row), .y(sum_in), .z(carry_in), .carry_in(minus), .sum(short_sum), .carry(short_carry));

    wire [ACC_WIDTH-1:0] sum = single ? short_sum : long_sum;
    wire [ACC_WIDTH-1:0] carry = single ? short_carry : long_carry;

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        sum_out <= sum;
        carry_out <= carry;
        if (rst) begin
            swap_out  <= 1'b0;
            valid_out <= 1'b0;
        end else begin
            swap_out  <= swap_in;
            valid_out <= valid_in & ~swap_out;
        end
    end
endmodule
