// Product of two int8 as two words that nothing has added up yet, positive by an offset:
//
//     sum + 8 * carry[12:1] + carry[0] = act * weight + 16'h5800
//
// Four Booth rows with their sign bits inverted: -s*2**8 = (1-s)*2**8 - 2**8, in row 0 (1-s)*2**10 + s*(2**9 + 2**8) -
// 2**10; the offset is 2**10 + 2**10 + 2**12 + 2**14. The carries of the negations take slots that are free. The third
// level is half adders alone: it makes room for the last negation.
module booth_product (
    input  wire [7:0]  act,
    input  wire [7:0]  weight,
    output wire [14:0] sum,
    output wire [12:0] carry            // of columns 14 to 3, and 0
);
    wire [8:0] row0, row1, row2, row3;
    wire [3:0] negative;
    booth_row rows0 (.bits({weight[1:0], 1'b0}), .act(act), .row(row0), .negative(negative[0]));
    booth_row rows1 (.bits(weight[3:1]), .act(act), .row(row1), .negative(negative[1]));
    booth_row rows2 (.bits(weight[5:3]), .act(act), .row(row2), .negative(negative[2]));
    booth_row rows3 (.bits(weight[7:5]), .act(act), .row(row3), .negative(negative[3]));

    wire [10:0] t0 = {~row0[8], row0[8], row0};
    wire [12:2] t1 = {2'b00, ~row1[8], row1[7:0]};
    wire [12:2] t2 = {~row2[8], row2[7:0], 2'b00};
    wire [14:2] t3 = {~row3[8], row3[7:0], 1'b0, negative[2], 2'b00};

    // No carry leaves the top of any level: nothing in these columns reaches 2**15. carry_b has none in column 2.
    wire [14:2] sum_a, carry_a, sum_b;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [14:2] carry_b;
    /* verilator lint_on UNUSEDSIGNAL */
    carry_save #(.WIDTH(13)) level_1 (
        .x({4'd0, t0[10:2]}), .y({2'd0, t1}), .z({2'd0, t2}), .carry_in(negative[1]), .sum(sum_a), .carry(carry_a));
    carry_save #(.WIDTH(13)) level_2 (
        .x(sum_a), .y(carry_a), .z(t3), .carry_in(1'b0), .sum(sum_b), .carry(carry_b));

    wire [14:6] sum_c, carry_c;
    carry_save #(.WIDTH(9)) level_3 (
        .x(sum_b[14:6]), .y(carry_b[14:6]), .z(9'd0), .carry_in(negative[3]), .sum(sum_c), .carry(carry_c));

    assign sum = {sum_c, sum_b[5:2], t0[1:0]};
    assign carry = {carry_c, carry_b[5:3], negative[0]};
endmodule
