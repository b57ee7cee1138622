// Weight-stationary processing element for little energy: what a digit of the weight does not need stands still. Ports,
// loading and the bubble are those of systolic_pe.
//
// The weight's digits are recoded where it stands, which costs neither time nor energy while it does. Rows of zero
// digits are zero, and an adder that adds zero has no carries; of weight 0 the activation is held back from all rows.
// The low 16 bits of the partial sum take the product in one adder; those above go up or down by one, or rest.
module systolic_pe_lean #(
    parameter ACC_WIDTH = 24           // 18 to 32
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
    input  wire [ACC_WIDTH-1:0] acc_in,
    output reg  [ACC_WIDTH-1:0] acc_out
);
    localparam ABOVE = ACC_WIDTH - 16;

    reg  [7:0] weight_q;                       // active register
    wire [7:0] act = act_in & {8{|weight_q}};
    wire [3:0] one, two, minus;
    wire [8:0] row0, row1, row2, row3;

    weight_digits digits (.weight(weight_q), .one(one), .two(two), .minus(minus));
    digit_row rows0 (.one(one[0]), .two(two[0]), .minus(minus[0]), .act(act), .row(row0));
    digit_row rows1 (.one(one[1]), .two(two[1]), .minus(minus[1]), .act(act), .row(row1));
    digit_row rows2 (.one(one[2]), .two(two[2]), .minus(minus[2]), .act(act), .row(row2));
    digit_row rows3 (.one(one[3]), .two(two[3]), .minus(minus[3]), .act(act), .row(row3));

    // Rows in pairs, then both. The carry that a negative row lacks enters the adder that begins at the row's place:
    // minus[0] that of the partial sum. Signed words all, so nothing is carried out of the first three.
    wire [9:0]  high01, high23;
    wire [11:0] top;
    /* verilator lint_off UNUSEDSIGNAL */
    wire        out01, out23, out_top;
    /* verilator lint_on UNUSEDSIGNAL */
    wire [11:0] low = {high01, row0[1:0]};
    wire [11:0] high = {high23, row2[1:0]};
    ripple_adder #(.WIDTH(10)) pair01 (
        .x({{3{row0[8]}}, row0[8:2]}), .y({row1[8], row1}), .carry_in(minus[1]), .sum(high01), .carry_out(out01));
    ripple_adder #(.WIDTH(10)) pair23 (
        .x({{3{row2[8]}}, row2[8:2]}), .y({row3[8], row3}), .carry_in(minus[3]), .sum(high23), .carry_out(out23));
    ripple_adder #(.WIDTH(12)) both (
        .x({{4{low[11]}}, low[11:4]}), .y(high), .carry_in(minus[2]), .sum(top), .carry_out(out_top));

    wire [15:0] product = {top, low[3:0]};
    wire [15:0] sum;
    wire        carry;
    ripple_adder #(.WIDTH(16)) total (
        .x(acc_in[15:0]), .y(product), .carry_in(minus[0]), .sum(sum), .carry_out(carry));

    // A bit above turns over with the lowest if all between are ones (up) or zeros (down).
    wire             up = carry & ~product[15];
    wire             down = ~carry & product[15];
    wire [ABOVE-1:0] above = acc_in[ACC_WIDTH-1:16];
    wire [ABOVE-1:0] turned;
    assign turned[0] = up | down;
    genvar place;
    generate
        for (place = 1; place < ABOVE; place = place + 1) begin : places
            assign turned[place] = (up & (&above[place-1:0])) | (down & ~(|above[place-1:0]));
        end
    endgenerate

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        acc_out <= {above ^ turned, sum};
        if (rst) begin
            swap_out  <= 1'b0;
            valid_out <= 1'b0;
        end else begin
            swap_out  <= swap_in;
            valid_out <= valid_in & ~swap_out;
        end
    end
endmodule
