// Weight-stationary processing element with a plain multiplier: eight rows, one for each bit of the weight (Baugh and
// Wooley), added one after another, then the partial sum; carry-save as systolic_pe_csa. A long chain whose length the
// weight decides: small, slow, and fast for weights with few ones. Loading, swap token and bubble are those of
// systolic_pe.
//
//     sum_out + carry_out = sum_in + carry_in + act_in * weight_q
module systolic_pe_baugh_wooley #(
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
    reg [7:0] weight_q;                        // active register

    // Products with one sign bit count negative and enter inverted; 2**8 and -2**15 make up for it.
    wire [7:0] row0 = {~(act_in[7] & weight_q[0]), act_in[6:0] & {7{weight_q[0]}}};
    wire [7:0] row1 = {~(act_in[7] & weight_q[1]), act_in[6:0] & {7{weight_q[1]}}};
    wire [7:0] row2 = {~(act_in[7] & weight_q[2]), act_in[6:0] & {7{weight_q[2]}}};
    wire [7:0] row3 = {~(act_in[7] & weight_q[3]), act_in[6:0] & {7{weight_q[3]}}};
    wire [7:0] row4 = {~(act_in[7] & weight_q[4]), act_in[6:0] & {7{weight_q[4]}}};
    wire [7:0] row5 = {~(act_in[7] & weight_q[5]), act_in[6:0] & {7{weight_q[5]}}};
    wire [7:0] row6 = {~(act_in[7] & weight_q[6]), act_in[6:0] & {7{weight_q[6]}}};
    wire [7:0] row7 = {act_in[7] & weight_q[7], ~(act_in[6:0] & {7{weight_q[7]}})};
    wire [ACC_WIDTH-1:0] first = {{(ACC_WIDTH-15){1'b1}}, 6'd0, 1'b1, row0};

    wire [ACC_WIDTH-1:0] s2, c2, s3, c3, s4, c4, s5, c5, s6, c6, s7, c7, s8, c8;
    carry_save #(.WIDTH(ACC_WIDTH)) row_2 (
        .x(first), .y({{(ACC_WIDTH-9){1'b0}}, row1, 1'b0}), .z({{(ACC_WIDTH-10){1'b0}}, row2, 2'd0}),
        .carry_in(1'b0), .sum(s2), .carry(c2));
    carry_save #(.WIDTH(ACC_WIDTH)) row_3 (
        .x(s2), .y(c2), .z({{(ACC_WIDTH-11){1'b0}}, row3, 3'd0}), .carry_in(1'b0), .sum(s3), .carry(c3));
    carry_save #(.WIDTH(ACC_WIDTH)) row_4 (
        .x(s3), .y(c3), .z({{(ACC_WIDTH-12){1'b0}}, row4, 4'd0}), .carry_in(1'b0), .sum(s4), .carry(c4));
    carry_save #(.WIDTH(ACC_WIDTH)) row_5 (
        .x(s4), .y(c4), .z({{(ACC_WIDTH-13){1'b0}}, row5, 5'd0}), .carry_in(1'b0), .sum(s5), .carry(c5));
    carry_save #(.WIDTH(ACC_WIDTH)) row_6 (
        .x(s5), .y(c5), .z({{(ACC_WIDTH-14){1'b0}}, row6, 6'd0}), .carry_in(1'b0), .sum(s6), .carry(c6));
    carry_save #(.WIDTH(ACC_WIDTH)) row_7 (
        .x(s6), .y(c6), .z({{(ACC_WIDTH-15){1'b0}}, row7, 7'd0}), .carry_in(1'b0), .sum(s7), .carry(c7));
    carry_save #(.WIDTH(ACC_WIDTH)) sums (.x(s7), .y(c7), .z(sum_in), .carry_in(carry_in[0]), .sum(s8), .carry(c8));
    // The two lowest carries of the partial sum meet no other: they pass by, for the adder at the column's foot.
    wire [ACC_WIDTH-1:0] sum, carry;
    assign sum[0] = s8[0];
    assign carry[0] = c8[0];
    carry_save #(.WIDTH(ACC_WIDTH-1)) carries (
        .x(s8[ACC_WIDTH-1:1]), .y(c8[ACC_WIDTH-1:1]), .z({carry_in[ACC_WIDTH-1:2], 1'b0}), .carry_in(carry_in[1]),
        .sum(sum[ACC_WIDTH-1:1]), .carry(carry[ACC_WIDTH-1:1]));

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
