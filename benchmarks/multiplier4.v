// Signed 4x4-bit multiplier between registers: small enough for SPICE, with real flip-flops launching and capturing.
//
// Both operands take their ports at each edge, so any pair can follow any other.
module multiplier4 (
    input  wire              clk,
    input  wire signed [3:0] act_in,
    input  wire signed [3:0] weight_in,
    output reg  signed [7:0] result
);
    reg signed [3:0] act_q;
    reg signed [3:0] weight_q;

    always @(posedge clk) begin
        act_q    <= act_in;
        weight_q <= weight_in;
        result   <= act_q * weight_q;
    end
endmodule
