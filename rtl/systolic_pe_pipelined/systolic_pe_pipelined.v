// Weight-stationary processing element in two stages: Booth rows into registers, then the partial sum and the rows
// through three levels of full adders, as in systolic_pe_csa. The second stage is all that depends on the partial sum.
//
//     one clock later: sum_out + carry_out = sum_in + carry_in + act_in of the clock before * its weight_q
//
// Activations still move right by one element per clock and partial sums down by one, so that an array is skewed as
// ever; a result is marked by the valid_out of the clock before. Loading and swap token are those of systolic_pe.
module systolic_pe_pipelined #(
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
    wire [8:0] next0, next1, next2, next3;
    wire [3:0] next_negative;
    reg  [8:0] row0, row1, row2, row3;         // between the stages
    reg  [3:0] negative;

    booth_row rows0 (.bits({weight_q[1:0], 1'b0}), .act(act_in), .row(next0), .negative(next_negative[0]));
    booth_row rows1 (.bits(weight_q[3:1]), .act(act_in), .row(next1), .negative(next_negative[1]));
    booth_row rows2 (.bits(weight_q[5:3]), .act(act_in), .row(next2), .negative(next_negative[2]));
    booth_row rows3 (.bits(weight_q[7:5]), .act(act_in), .row(next3), .negative(next_negative[3]));

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
    wire [ACC_WIDTH-1:0] sum, carry;
    carry_save #(.WIDTH(ACC_WIDTH)) third (
        .x({sum_c, t0[1:0]}), .y({carry_c, sum_in[1:0]}), .z({carry_b, carry_in[5:0]}), .carry_in(negative[0]),
        .sum(sum), .carry(carry));

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        row0 <= next0;
        row1 <= next1;
        row2 <= next2;
        row3 <= next3;
        negative <= next_negative;
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
