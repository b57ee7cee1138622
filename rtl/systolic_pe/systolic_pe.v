// Weight-stationary processing element of a systolic array: acc_out <= acc_in + act_in * weight_q.
//
// Activations, their valid bit and the swap token enter from the left, partial sums and weights from above; each
// leaves one clock later towards the right neighbour (act, valid, swap) or the one below (acc, weight).
//
// Loading. Weights shift down through weight_out, a shadow of the active register, while the array computes. The
// token swap_in travels with the last activation of the old fold: at that edge weight_q takes the shadow. In the
// next cycle, when swap_out is 1, the result is marked invalid. A weight has therefore been visible for at least
// one full cycle before the first result that counts: the bubble that makes weight_q a constant for timing.
module systolic_pe #(
    parameter ACC_WIDTH = 24
) (
    input  wire                        clk,
    input  wire                        rst,           // synchronous, active high; resets control bits only
    input  wire signed [7:0]           act_in,
    output reg  signed [7:0]           act_out,
    input  wire signed [7:0]           weight_in,
    output reg  signed [7:0]           weight_out,    // shadow register
    input  wire                        weight_shift,
    input  wire                        swap_in,
    output reg                         swap_out,
    input  wire                        valid_in,
    output reg                         valid_out,
    input  wire signed [ACC_WIDTH-1:0] acc_in,
    output reg  signed [ACC_WIDTH-1:0] acc_out
);
    reg  signed [7:0]  weight_q;                      // active register
    wire signed [15:0] product = act_in * weight_q;

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        acc_out <= acc_in + {{(ACC_WIDTH-16){product[15]}}, product};
        if (rst) begin
            swap_out  <= 1'b0;
            valid_out <= 1'b0;
        end else begin
            swap_out  <= swap_in;
            valid_out <= valid_in & ~swap_out;
        end
    end
endmodule
