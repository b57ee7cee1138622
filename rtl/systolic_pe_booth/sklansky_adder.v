// Parallel-prefix adder (Sklansky): sum = x + y modulo 2**WIDTH, in the least number of levels, with growing fanout.
module sklansky_adder #(
    parameter WIDTH = 24,
    parameter LEVELS = 5               // smallest with 2**LEVELS >= WIDTH
) (
    input  wire [WIDTH-1:0] x,
    input  wire [WIDTH-1:0] y,
    output wire [WIDTH-1:0] sum
);
    // Generate and propagate of every level, one word after the other; the last level holds the carries.
    wire [(LEVELS+1)*WIDTH-1:0] g;
    wire [(LEVELS+1)*WIDTH-1:0] p;

    assign g[WIDTH-1:0] = x & y;
    assign p[WIDTH-1:0] = x ^ y;

    genvar level, i;
    generate
        for (level = 0; level < LEVELS; level = level + 1) begin : prefix
            for (i = 0; i < WIDTH; i = i + 1) begin : column
                if ((i >> level) & 1) begin : join_left
                    // The whole group to the right ends just below this bit's own group.
                    assign g[(level+1)*WIDTH + i] = g[level*WIDTH + i]
                        | (p[level*WIDTH + i] & g[level*WIDTH + ((i >> level) << level) - 1]);
                    assign p[(level+1)*WIDTH + i] = p[level*WIDTH + i] & p[level*WIDTH + ((i >> level) << level) - 1];
                end else begin : keep
                    assign g[(level+1)*WIDTH + i] = g[level*WIDTH + i];
                    assign p[(level+1)*WIDTH + i] = p[level*WIDTH + i];
                end
            end
        end
    endgenerate

    assign sum = p[WIDTH-1:0] ^ {g[LEVELS*WIDTH +: WIDTH-1], 1'b0};
endmodule
