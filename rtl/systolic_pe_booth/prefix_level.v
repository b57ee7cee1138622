// One level of a Sklansky prefix tree: groups of 2**LEVEL bits become groups of twice that. Within each pair of groups
// every bit of the upper one takes the carry out of the whole lower one.
module prefix_level #(
    parameter WIDTH = 24,
    parameter LEVEL = 0
) (
    input  wire [WIDTH-1:0] g,
    input  wire [WIDTH-1:0] p,
    output wire [WIDTH-1:0] g_out,
    output wire [WIDTH-1:0] p_out
);
    wire [WIDTH-1:0] g_right;           // of the group to the right; nothing there: generates 0, propagates 1
    wire [WIDTH-1:0] p_right;

    genvar i;
    generate
        for (i = 0; i < WIDTH; i = i + 1) begin : column
            if (((i >> LEVEL) & 1) == 1) begin : upper
                assign g_right[i] = g[((i >> LEVEL) << LEVEL) - 1];
                assign p_right[i] = p[((i >> LEVEL) << LEVEL) - 1];
            end else begin : lower
                assign g_right[i] = 1'b0;
                assign p_right[i] = 1'b1;
            end
        end
    endgenerate

    assign g_out = g | (p & g_right);
    assign p_out = p & p_right;
endmodule
