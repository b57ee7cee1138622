// Weight-stationary processing element with an explicit multiplier: radix-4 Booth rows of the weight, a carry-save
// tree that takes the partial sum as one more row, and a parallel-prefix adder. Ports, loading and the bubble are
// those of systolic_pe.
module systolic_pe_booth #(
    parameter ACC_WIDTH = 24           // 17 to 32
) (
    input  wire                        clk,
    input  wire                        rst,           // synchronous, active high; resets control bits only
    input  wire signed [7:0]           act_in,
    output reg  signed [7:0]           act_out,
    input  wire signed [7:0]           weight_in,
    output reg  signed [7:0]           weight_out,    // shadow register
    input  wire                        weight_shift,
    input  wire                        swap_in,
    output reg                         swap_out,
    input  wire                        valid_in,
    output reg                         valid_out,
    input  wire signed [ACC_WIDTH-1:0] acc_in,
    output reg  signed [ACC_WIDTH-1:0] acc_out
);
    // Each row's sign bit is inverted instead of extended: -s*2**8 = (1-s)*2**8 - 2**8. The four constants
    // -2**8, -2**10, -2**12 and -2**14 are gathered here, modulo 2**ACC_WIDTH.
    localparam [31:0] SIGNS = 32'hFFFFAB00;

    reg  [7:0] weight_q;                              // active register
    wire [8:0] digits = {weight_q, 1'b0};
    wire [8:0] row0, row1, row2, row3;
    wire [3:0] negative;

    booth_row rows0 (.bits(digits[2:0]), .act(act_in), .row(row0), .negative(negative[0]));
    booth_row rows1 (.bits(digits[4:2]), .act(act_in), .row(row1), .negative(negative[1]));
    booth_row rows2 (.bits(digits[6:4]), .act(act_in), .row(row2), .negative(negative[2]));
    booth_row rows3 (.bits(digits[8:6]), .act(act_in), .row(row3), .negative(negative[3]));

    // A row's negation carry sits in the empty low bits of the next row.
    wire [ACC_WIDTH-1:0] t0 = {{(ACC_WIDTH-9){1'b0}}, ~row0[8], row0[7:0]};
    wire [ACC_WIDTH-1:0] t1 = {{(ACC_WIDTH-11){1'b0}}, ~row1[8], row1[7:0], 1'b0, negative[0]};
    wire [ACC_WIDTH-1:0] t2 = {{(ACC_WIDTH-13){1'b0}}, ~row2[8], row2[7:0], 1'b0, negative[1], 2'b00};
    wire [ACC_WIDTH-1:0] t3 = {{(ACC_WIDTH-15){1'b0}}, ~row3[8], row3[7:0], 1'b0, negative[2], 4'b0000};
    wire [ACC_WIDTH-1:0] t4 = {SIGNS[ACC_WIDTH-1:8], 1'b0, negative[3], 6'b000000};

    wire [ACC_WIDTH-1:0] s0, c0, s1, c1, s2, c2, s3, c3, total;
    carry_save #(.WIDTH(ACC_WIDTH)) first_left  (.x(t0), .y(t1), .z(t2), .sum(s0), .carry(c0));
    carry_save #(.WIDTH(ACC_WIDTH)) first_right (.x(t3), .y(t4), .z(acc_in), .sum(s1), .carry(c1));
    carry_save #(.WIDTH(ACC_WIDTH)) second      (.x(s0), .y(c0), .z(s1), .sum(s2), .carry(c2));
    carry_save #(.WIDTH(ACC_WIDTH)) third       (.x(s2), .y(c2), .z(c1), .sum(s3), .carry(c3));
    sklansky_adder #(.WIDTH(ACC_WIDTH)) adder (.x(s3), .y(c3), .sum(total));

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        acc_out <= total;
        if (rst) begin
            swap_out  <= 1'b0;
            valid_out <= 1'b0;
        end else begin
            swap_out  <= swap_in;
            valid_out <= valid_in & ~swap_out;
        end
    end
endmodule
