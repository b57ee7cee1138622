// Weight-stationary systolic array, ROWS x COLS of any processing element with the ports of systolic_pe:
//
//     acc_out[m][c] = acc_in[m][c] + sum over r of act_in[m][r] * weight[r][c]
//
// One row m of activations enters per clock, unskewed; row r is delayed by r clocks inside, column c by c, and the
// outputs are aligned again: a result leaves ROWS + COLS - 1 clocks after its activations.
//
// Loading overlaps with computing. Hold weight_shift for exactly ROWS clocks and give the weight rows, the last
// (r = ROWS-1) first. Then send swap_in together with the last activation of the old fold, not before the clock
// after the last shift; the next clock is the bubble, whose results are marked invalid whatever valid_in says. The
// next load may start in the clock of swap_in. A fold of M activations therefore costs max(M, ROWS) + 1 clocks.
//
// Why rows do not disturb each other: the swap reaches row r, r clocks late, as the activations do. Row r shifts only in
// the clocks r .. ROWS-1 of its column's load, so that all rows have their weight at the same time, and the shadow
// register of row r is not touched again before its swap has passed.
//
// Synthesize the PE with it; another one takes its place by -DSYSTOLIC_PE=systolic_pe_booth.
`ifndef SYSTOLIC_PE
`define SYSTOLIC_PE systolic_pe
`endif

module systolic_array #(
    parameter ROWS = 4,
    parameter COLS = 4,
    parameter ACC_WIDTH = 24
) (
    input  wire                      clk,
    input  wire                      rst,             // synchronous, active high; resets control bits only
    input  wire [8*ROWS-1:0]         act_in,          // row r in bits 8*r+7 .. 8*r
    input  wire                      valid_in,
    input  wire                      swap_in,
    input  wire [8*COLS-1:0]         weight_in,       // column c in bits 8*c+7 .. 8*c
    input  wire                      weight_shift,
    input  wire [ACC_WIDTH*COLS-1:0] acc_in,
    output wire [ACC_WIDTH*COLS-1:0] acc_out,
    output wire                      valid_out
);
    // Element (r, c) at r*(COLS+1)+c for what moves right, at r*COLS+c for what moves down.
    wire [8*ROWS*(COLS+1)-1:0]         act;
    wire [ROWS*(COLS+1)-1:0]           valid;
    wire [ROWS*(COLS+1)-1:0]           swap;
    wire [8*(ROWS+1)*COLS-1:0]         weight;
    wire [ACC_WIDTH*(ROWS+1)*COLS-1:0] acc;
    wire [ROWS*COLS-1:0]               shift;
    wire [COLS-1:0]                    load;           // weight_shift, delayed by the column

    genvar r, c;
    generate
        for (r = 0; r < ROWS; r = r + 1) begin : skew_row
            delay_line #(.WIDTH(8), .CYCLES(r)) act_line (
                .clk(clk), .rst(1'b0), .in(act_in[8*r +: 8]), .out(act[8*r*(COLS+1) +: 8]));
            delay_line #(.WIDTH(2), .CYCLES(r)) token_line (
                .clk(clk), .rst(rst), .in({valid_in, swap_in}), .out({valid[r*(COLS+1)], swap[r*(COLS+1)]}));
        end
        for (c = 0; c < COLS; c = c + 1) begin : skew_column
            delay_line #(.WIDTH(8), .CYCLES(c)) weight_line (
                .clk(clk), .rst(1'b0), .in(weight_in[8*c +: 8]), .out(weight[8*c +: 8]));
            delay_line #(.WIDTH(1), .CYCLES(c)) load_line (
                .clk(clk), .rst(rst), .in(weight_shift), .out(load[c]));
            delay_line #(.WIDTH(ACC_WIDTH), .CYCLES(c)) acc_line (
                .clk(clk), .rst(1'b0), .in(acc_in[ACC_WIDTH*c +: ACC_WIDTH]), .out(acc[ACC_WIDTH*c +: ACC_WIDTH]));
            delay_line #(.WIDTH(ACC_WIDTH), .CYCLES(COLS-1-c)) align_line (
                .clk(clk), .rst(1'b0), .in(acc[ACC_WIDTH*(ROWS*COLS+c) +: ACC_WIDTH]),
                .out(acc_out[ACC_WIDTH*c +: ACC_WIDTH]));
        end
        for (r = 0; r < ROWS; r = r + 1) begin : row
            for (c = 0; c < COLS; c = c + 1) begin : column
                if (r == 0) begin : first
                    assign shift[c] = load[c];
                end else begin : later
                    reg shifted_above;
                    always @(posedge clk) shifted_above <= ~rst & shift[(r-1)*COLS+c];
                    assign shift[r*COLS+c] = shifted_above & load[c];
                end
                `SYSTOLIC_PE #(.ACC_WIDTH(ACC_WIDTH)) pe (
                    .clk(clk), .rst(rst),
                    .act_in(act[8*(r*(COLS+1)+c) +: 8]), .act_out(act[8*(r*(COLS+1)+c+1) +: 8]),
                    .weight_in(weight[8*(r*COLS+c) +: 8]), .weight_out(weight[8*((r+1)*COLS+c) +: 8]),
                    .weight_shift(shift[r*COLS+c]),
                    .swap_in(swap[r*(COLS+1)+c]), .swap_out(swap[r*(COLS+1)+c+1]),
                    .valid_in(valid[r*(COLS+1)+c]), .valid_out(valid[r*(COLS+1)+c+1]),
                    .acc_in(acc[ACC_WIDTH*(r*COLS+c) +: ACC_WIDTH]),
                    .acc_out(acc[ACC_WIDTH*((r+1)*COLS+c) +: ACC_WIDTH]));
            end
        end
    endgenerate

    // Results of the last column need no alignment: its valid bit is that of the whole row.
    assign valid_out = valid[ROWS*(COLS+1)-1];
endmodule
