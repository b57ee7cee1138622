// Parallel-prefix adder (Sklansky): sum = x + y modulo 2**WIDTH, WIDTH at most 32, in five levels.
module sklansky_adder #(
    parameter WIDTH = 24
) (
    input  wire [WIDTH-1:0] x,
    input  wire [WIDTH-1:0] y,
    output wire [WIDTH-1:0] sum
);
    wire [WIDTH-1:0] g0 = x & y;
    wire [WIDTH-1:0] p0 = x ^ y;
    wire [WIDTH-1:0] g1, g2, g3, g4;
    wire [WIDTH-1:0] p1, p2, p3, p4;
    // g5 holds the carry out of every bit; the top one and p5 leave the adder nowhere.
    /* verilator lint_off UNUSEDSIGNAL */
    wire [WIDTH-1:0] g5, p5;
    /* verilator lint_on UNUSEDSIGNAL */

    prefix_level #(.WIDTH(WIDTH), .LEVEL(0)) pairs    (.g(g0), .p(p0), .g_out(g1), .p_out(p1));
    prefix_level #(.WIDTH(WIDTH), .LEVEL(1)) fours    (.g(g1), .p(p1), .g_out(g2), .p_out(p2));
    prefix_level #(.WIDTH(WIDTH), .LEVEL(2)) eights   (.g(g2), .p(p2), .g_out(g3), .p_out(p3));
    prefix_level #(.WIDTH(WIDTH), .LEVEL(3)) sixteens (.g(g3), .p(p3), .g_out(g4), .p_out(p4));
    prefix_level #(.WIDTH(WIDTH), .LEVEL(4)) all      (.g(g4), .p(p4), .g_out(g5), .p_out(p5));

    assign sum = p0 ^ {g5[WIDTH-2:0], 1'b0};
endmodule
