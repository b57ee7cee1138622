// Plays one line of stimulus per clock into the array and prints every valid output row with its clock number. LATE is
// how many clocks after its valid bit a result comes; 1 for an element of two stages.
`timescale 1ns/1ps
module array_bench;
    parameter ROWS = 3;
    parameter COLS = 4;
    parameter CYCLES = 16;
    parameter ACC = 24;
    parameter LATE = 0;
    localparam WIDTH = 4 + 8*ROWS + 8*COLS + ACC*COLS;

    reg [WIDTH-1:0] lines [0:CYCLES-1];
    reg [8*256-1:0] file;
    reg clk = 1'b0;
    reg rst, valid, swap, shift;
    reg [8*ROWS-1:0] act;
    reg [8*COLS-1:0] weight;
    reg [ACC*COLS-1:0] acc;
    wire [ACC*COLS-1:0] out;
    wire marked, valid_out;
    integer i;

    systolic_array #(.ROWS(ROWS), .COLS(COLS), .ACC_WIDTH(ACC)) dut (
        .clk(clk), .rst(rst), .act_in(act), .valid_in(valid), .swap_in(swap), .weight_in(weight),
        .weight_shift(shift), .acc_in(acc), .acc_out(out), .valid_out(marked));
    delay_line #(.WIDTH(1), .CYCLES(LATE)) late (.clk(clk), .rst(rst), .in(marked), .out(valid_out));

    initial begin
        if (!$value$plusargs("lines=%s", file)) $finish;
        $readmemh(file, lines);
        for (i = 0; i < CYCLES; i = i + 1) begin
            {rst, valid, swap, shift, act, weight, acc} = lines[i];
            #1 if (i > 1 && valid_out === 1'bx) $display("X %0d", i);
            if (valid_out) $display("OUT %0d %h", i, out);
            #1 clk = 1'b1;
            #1 clk = 1'b0;
        end
        $finish;
    end
endmodule
