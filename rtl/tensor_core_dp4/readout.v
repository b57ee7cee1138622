// Reads an accumulator out: adds its two words, in two stages of half the width, so that it keeps up with the dot
// products: two clocks later, total = sum + carry (modulo 2**ACC_WIDTH).
module readout #(
    parameter ACC_WIDTH = 32           // even
) (
    input  wire                 clk,
    input  wire                 rst,           // synchronous, active high; resets control bits only
    input  wire                 valid_in,      // marks sum and carry
    output reg                  valid_out,     // marks total
    input  wire [ACC_WIDTH-1:0] sum,
    input  wire [ACC_WIDTH-1:0] carry,
    output reg  [ACC_WIDTH-1:0] total
);
    localparam HALF = ACC_WIDTH / 2;

    reg            valid;
    reg [HALF:0]   low;                        // with the carry into the upper half
    reg [HALF-1:0] high_sum, high_carry;

    always @(posedge clk) begin
        low <= {1'b0, sum[HALF-1:0]} + {1'b0, carry[HALF-1:0]};
        high_sum <= sum[ACC_WIDTH-1:HALF];
        high_carry <= carry[ACC_WIDTH-1:HALF];
        total <= {high_sum + high_carry + {{(HALF-1){1'b0}}, low[HALF]}, low[HALF-1:0]};
        valid <= ~rst & valid_in;
        valid_out <= ~rst & valid;
    end
endmodule
