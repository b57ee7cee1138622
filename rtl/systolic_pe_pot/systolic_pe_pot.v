// Weight-stationary processing element for weights that are powers of two, with int8 activations: a shift, a negation
// and one level of full adders. Carry-save as systolic_pe_csa. Loading, swap token and bubble are those of systolic_pe.
//
// The weight's code is a sign and an exponent e. Codes 1 to 7 are 1, 2, 4, .. 64, with the sign set -1, -2, .. -64; code 0
// is 0 and code 8, which would be its negative, -128. These are all the values that one Booth digit of int8 can have.
//
//     sum_out + carry_out = sum_in + carry_in + act_in * value of weight_q
module systolic_pe_pot #(
    parameter ACC_WIDTH = 24           // 17 to 32
) (
    input  wire                 clk,
    input  wire                 rst,           // synchronous, active high; resets control bits only
    input  wire [7:0]           act_in,
    output reg  [7:0]           act_out,
    input  wire [3:0]           weight_in,
    output reg  [3:0]           weight_out,    // shadow register
    input  wire                 weight_shift,
    input  wire                 swap_in,
    output reg                  swap_out,
    input  wire                 valid_in,
    output reg                  valid_out,
    input  wire [ACC_WIDTH-1:0] sum_in,
    input  wire [ACC_WIDTH-1:0] carry_in,
    output reg  [ACC_WIDTH-1:0] sum_out,
    output reg  [ACC_WIDTH-1:0] carry_out
);
    reg  [3:0]  weight_q;                      // active register: sign, exponent
    wire        negative = weight_q[3];
    wire        zero     = weight_q[2:0] == 3'd0;
    // One bit for each shift: 0 to 6 from the exponent, 7 for -128.
    wire [7:0]  shift = {zero & negative, 7'd0} | ({7'd0, ~zero} << (weight_q[2:0] - 3'd1));
    wire [14:0] act = {{7{act_in[7]}}, act_in};
    wire [14:0] size = ({15{shift[0]}} & act)        | ({15{shift[1]}} & (act << 1))
                     | ({15{shift[2]}} & (act << 2)) | ({15{shift[3]}} & (act << 3))
                     | ({15{shift[4]}} & (act << 4)) | ({15{shift[5]}} & (act << 5))
                     | ({15{shift[6]}} & (act << 6)) | ({15{shift[7]}} & (act << 7));
    // The sign alone is early: it needs no shift.
    wire        below = act_in[7] & (~zero | negative);
    wire [ACC_WIDTH-1:0] row = {{(ACC_WIDTH-15){below ^ negative}}, size ^ {15{negative}}};

    // The carry of the negation takes the place of the lowest carry.
    wire [ACC_WIDTH-1:0] sum, carry;
    carry_save #(.WIDTH(ACC_WIDTH)) only (
        .x(row), .y(sum_in), .z(carry_in), .carry_in(negative), .sum(sum), .carry(carry));

    always @(posedge clk) begin
        act_out <= act_in;
        if (weight_shift) weight_out <= weight_in;
        if (swap_in) weight_q <= weight_out;
        sum_out <= sum;
        carry_out <= carry;
        if (rst) begin
            swap_out  <= 1'b0;
            valid_out <= 1'b0;
        end else begin
            swap_out  <= swap_in;
            valid_out <= valid_in & ~swap_out;
        end
    end
endmodule
