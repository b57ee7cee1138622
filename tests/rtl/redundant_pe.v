// A carry-save element with the ports of systolic_pe, so that the array takes it: both words of a partial sum side by
// side in acc, carry above; weights of WEIGHT_BITS in the low bits of the array's eight.
`ifndef REDUNDANT_PE
`define REDUNDANT_PE systolic_pe_csa
`endif
`ifndef WEIGHT_BITS
`define WEIGHT_BITS 8
`endif
module redundant_pe #(
    parameter ACC_WIDTH = 48
) (
    input  wire                        clk,
    input  wire                        rst,
    input  wire        [7:0]           act_in,
    output wire        [7:0]           act_out,
    input  wire        [7:0]           weight_in,
    output wire        [7:0]           weight_out,
    input  wire                        weight_shift,
    input  wire                        swap_in,
    output wire                        swap_out,
    input  wire                        valid_in,
    output wire                        valid_out,
    input  wire        [ACC_WIDTH-1:0] acc_in,
    output wire        [ACC_WIDTH-1:0] acc_out
);
    localparam HALF = ACC_WIDTH / 2;
    wire [7:0] below;
    assign weight_out = below & ((1 << `WEIGHT_BITS) - 1);
    `REDUNDANT_PE #(.ACC_WIDTH(HALF)) pe (
        .clk(clk), .rst(rst), .act_in(act_in), .act_out(act_out), .weight_in(weight_in[`WEIGHT_BITS-1:0]),
        .weight_out(below[`WEIGHT_BITS-1:0]), .weight_shift(weight_shift), .swap_in(swap_in), .swap_out(swap_out), .valid_in(valid_in),
        .valid_out(valid_out), .sum_in(acc_in[HALF-1:0]), .carry_in(acc_in[ACC_WIDTH-1:HALF]),
        .sum_out(acc_out[HALF-1:0]), .carry_out(acc_out[ACC_WIDTH-1:HALF]));
endmodule
