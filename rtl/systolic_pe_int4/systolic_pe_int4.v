// Weight-stationary processing element for four-bit weights, -8..7, with int8 activations: what a designer has in place
// of an int8 element whose weights are held to 16 values. Carry-save as systolic_pe_csa, two Booth rows instead of four
// and two levels of full adders instead of three. Loading, swap token and bubble are those of systolic_pe.
//
//     sum_out + carry_out = sum_in + carry_in + act_in * weight_q
module systolic_pe_int4 #(
    parameter ACC_WIDTH = 24           // 17 to 32
) (
    input  wire                 clk,
    input  wire                 rst,           // synchronous, active high; resets control bits only
    input  wire [7:0]           act_in,
    output reg  [7:0]           act_out,
    input  wire [3:0]           weight_in,
    output reg  [3:0]           weight_out,    // shadow register
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
    reg  [3:0] weight_q;                       // active register
    wire [8:0] row0, row1;
    wire [1:0] negative;

    booth_row rows0 (.bits({weight_q[1:0], 1'b0}), .act(act_in), .row(row0), .negative(negative[0]));
    booth_row rows1 (.bits(weight_q[3:1]), .act(act_in), .row(row1), .negative(negative[1]));

    // Instead of extending signs: -s*2**8 = (1-s)*2**10 + s*2**9 + s*2**8 - 2**10 in row 0, (1-s)*2**10 - 2**10 in row
    // 1. The constants make ones from column 11 upwards.
    wire [ACC_WIDTH-1:0] t0 = {{(ACC_WIDTH-11){1'b0}}, ~row0[8], row0[8], row0};
    wire [ACC_WIDTH-1:2] t1 = {{(ACC_WIDTH-11){1'b1}}, ~row1[8], row1[7:0]};

    // Level 1, from column 2 upwards: four rows make three.
    wire [ACC_WIDTH-1:2] sum_a, carry_a;
    carry_save #(.WIDTH(ACC_WIDTH-2)) first (
        .x(t0[ACC_WIDTH-1:2]), .y(t1), .z(sum_in[ACC_WIDTH-1:2]), .carry_in(negative[1]),
        .sum(sum_a), .carry(carry_a));

    // Level 2: three rows make two.
    wire [ACC_WIDTH-1:0] sum, carry;
    carry_save #(.WIDTH(ACC_WIDTH)) second (
        .x({sum_a, t0[1:0]}), .y({carry_a, sum_in[1:0]}), .z(carry_in), .carry_in(negative[0]),
        .sum(sum), .carry(carry));

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
