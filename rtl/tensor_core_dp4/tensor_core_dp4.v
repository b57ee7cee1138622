// Tensor-core style dot product of four int8 pairs, summed into int32, of which it adds nothing up: the accumulator is two
// words, and one adder resolves them when it is read out (readout.v).
//
//     acc_out + acc_carry_out <= acc_in + acc_carry_in + sum_i act_i * weight_i
//
// Operands are registered (act_q, weight_q). Stage 1 makes two words of each product, behind its Booth rows; stage 2 makes
// three words of those eight; stage 3 adds them to the accumulator's two. Each has three levels of adders.
// Operands and weights may change every cycle. acc_in is added in stage 3: it belongs to the operands that entered three
// clocks earlier, so wiring acc_in to acc_out, and the carries alike, accumulates one dot product per clock.
module tensor_core_dp4 (
    input  wire        clk,
    input  wire        rst,             // synchronous, active high; resets control bits only
    input  wire [31:0] act_in,          // lane i in bits 8*i+7 .. 8*i
    input  wire [31:0] weight_in,
    input  wire        valid_in,
    input  wire [31:0] acc_in,
    input  wire [31:0] acc_carry_in,
    output reg  [31:0] acc_out,
    output reg  [31:0] acc_carry_out,
    output reg         valid_out
);
    // The offsets of four products, to be taken off again: -4 * 16'h5800.
    localparam [31:0] OFFSET = 32'hFFFEA000;

    reg  [31:0] act_q;
    reg  [31:0] weight_q;
    reg  [59:0] sum_q;                  // of lane i in bits 15*i+14 .. 15*i
    reg  [51:0] carry_q;                // of lane i in bits 13*i+12 .. 13*i, packed as booth_product says
    reg  [15:0] total_q;
    reg  [16:1] first_q;                // the carries of the total, as two words
    reg  [13:0] second_q;               // of columns 15 to 4, 2, and 0
    reg  [2:0]  valid_q;

    wire [59:0] product_sum;
    wire [51:0] product_carry;
    wire [67:0] s, c;                   // 17 columns for each lane; no word reaches further
    genvar i;
    generate
        for (i = 0; i < 4; i = i + 1) begin : lane
            booth_product product (.act(act_q[8*i +: 8]), .weight(weight_q[8*i +: 8]),
                                   .sum(product_sum[15*i +: 15]), .carry(product_carry[13*i +: 13]));
            assign s[17*i +: 17] = {2'd0, sum_q[15*i +: 15]};
            // The lowest carry of lane 3 waits for a free slot below.
            assign c[17*i +: 17] = {2'd0, carry_q[13*i+1 +: 12], 2'd0, i == 3 ? 1'b0 : carry_q[13*i]};
        end
    endgenerate

    // Stage 2: eight words, six, four, three.
    wire [16:0] s1a, c1a, s1b, c1b, s2a, c2a, s2b;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [16:0] total, first, second;   // total ends below column 16; first has no column 0, second no 1, 3, 16
    /* verilator lint_on UNUSEDSIGNAL */
    carry_save #(.WIDTH(17)) level_1a (
        .x(s[16:0]), .y(c[16:0]), .z(s[33:17]), .carry_in(1'b0), .sum(s1a), .carry(c1a));
    carry_save #(.WIDTH(17)) level_1b (
        .x(c[33:17]), .y(s[50:34]), .z(c[50:34]), .carry_in(1'b0), .sum(s1b), .carry(c1b));
    carry_save #(.WIDTH(17)) level_2a (.x(s1a), .y(c1a), .z(s1b), .carry_in(1'b0), .sum(s2a), .carry(c2a));
    carry_save #(.WIDTH(17)) level_2b (
        .x(c1b), .y(s[67:51]), .z(c[67:51]), .carry_in(carry_q[39]), .sum(s2b), .carry(second));
    carry_save #(.WIDTH(17)) level_3 (.x(s2a), .y(c2a), .z(s2b), .carry_in(1'b0), .sum(total), .carry(first));

    // Stage 3: six words with the offset, four, three, two. Low columns have fewer and skip levels.
    wire [31:13] sum_a, carry_a;
    wire [31:2]  sum_b;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [31:2]  carry_b;               // none in column 2
    wire [31:1]  sum_c, carry_c;        // none in column 1
    /* verilator lint_on UNUSEDSIGNAL */
    wire [31:0]  sum_d, carry_d;
    carry_save #(.WIDTH(19)) add_offset (
        .x(acc_in[31:13]), .y(acc_carry_in[31:13]), .z(OFFSET[31:13]), .carry_in(1'b0), .sum(sum_a), .carry(carry_a));
    carry_save #(.WIDTH(30)) add_carries (
        .x({16'd0, total_q[15:2]}), .y({15'd0, first_q[16:2]}), .z({16'd0, second_q[13:2], 1'b0, second_q[1]}),
        .carry_in(1'b0),
        .sum(sum_b), .carry(carry_b));
    carry_save #(.WIDTH(31)) add_accumulator (
        .x({sum_a, acc_in[12:1]}), .y({carry_a, acc_carry_in[12:1]}), .z({sum_b, total_q[1]}), .carry_in(1'b0),
        .sum(sum_c), .carry(carry_c));
    carry_save #(.WIDTH(32)) add_rest (
        .x({sum_c, acc_in[0]}), .y({carry_c[31:2], 1'b0, acc_carry_in[0]}),
        .z({carry_b[31:3], 1'b0, first_q[1], total_q[0]}), .carry_in(second_q[0]), .sum(sum_d), .carry(carry_d));

    always @(posedge clk) begin
        act_q <= act_in;
        weight_q <= weight_in;
        sum_q <= product_sum;
        carry_q <= product_carry;
        total_q <= total[15:0];
        first_q <= first[16:1];
        second_q <= {second[15:4], second[2], second[0]};
        acc_out <= sum_d;
        acc_carry_out <= carry_d;
        if (rst) begin
            valid_q   <= 3'b000;
            valid_out <= 1'b0;
        end else begin
            valid_q   <= {valid_q[1:0], valid_in};
            valid_out <= valid_q[2];
        end
    end
endmodule
