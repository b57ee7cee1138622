// A word CYCLES clocks later; zero cycles is a wire.
module delay_line #(
    parameter WIDTH = 8,
    parameter CYCLES = 1
) (
    input  wire             clk,
    input  wire             rst,       // synchronous; tie low for data that needs none
    input  wire [WIDTH-1:0] in,
    output wire [WIDTH-1:0] out
);
    generate
        if (CYCLES == 0) begin : straight
            assign out = in;
        end else begin : registered
            reg  [WIDTH*CYCLES-1:0] stages;
            wire [WIDTH*(CYCLES+1)-1:0] shifted = {stages, in};

            assign out = stages[WIDTH*CYCLES-1 -: WIDTH];
            always @(posedge clk) begin
                if (rst) stages <= {WIDTH*CYCLES{1'b0}};
                else     stages <= shifted[WIDTH*CYCLES-1:0];
            end
        end
    endgenerate
endmodule
