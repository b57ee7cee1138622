// Tensor-core style dot product of four int8 pairs, summed into int32: acc_out <= acc_in + sum_i act_i * weight_i.
//
// Operands are registered (act_q, weight_q), stage 1 multiplies into product_q, stage 2 sums into acc_out. Operands
// and weights may change every cycle. acc_in is added in stage 2: it belongs to the operands that entered two clocks
// earlier, so wiring acc_in to acc_out accumulates one dot product per clock.
module tensor_core_dp4 (
    input  wire               clk,
    input  wire               rst,          // synchronous, active high; resets control bits only
    input  wire        [31:0] act_in,       // lane i in bits 8*i+7 .. 8*i
    input  wire        [31:0] weight_in,
    input  wire               valid_in,
    input  wire signed [31:0] acc_in,
    output reg  signed [31:0] acc_out,
    output reg                valid_out
);
    reg  [31:0] act_q;
    reg  [31:0] weight_q;
    reg  [63:0] product_q;                  // lane i in bits 16*i+15 .. 16*i
    reg  [1:0]  valid_q;
    wire [63:0] product;

    genvar i;
    generate
        for (i = 0; i < 4; i = i + 1) begin : lane
            assign product[16*i +: 16] = $signed(act_q[8*i +: 8]) * $signed(weight_q[8*i +: 8]);
        end
    endgenerate

    wire signed [15:0] p0 = product_q[15:0];
    wire signed [15:0] p1 = product_q[31:16];
    wire signed [15:0] p2 = product_q[47:32];
    wire signed [15:0] p3 = product_q[63:48];

    always @(posedge clk) begin
        act_q <= act_in;
        weight_q <= weight_in;
        product_q <= product;
        acc_out <= acc_in + {{16{p0[15]}}, p0} + {{16{p1[15]}}, p1} + {{16{p2[15]}}, p2} + {{16{p3[15]}}, p3};
        if (rst) begin
            valid_q   <= 2'b00;
            valid_out <= 1'b0;
        end else begin
            valid_q   <= {valid_q[0], valid_in};
            valid_out <= valid_q[1];
        end
    end
endmodule
