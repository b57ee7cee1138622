// One digit of the weight times the activation, less one if the digit is negative: its negation lacks a carry.
module digit_row (
    input  wire       one,
    input  wire       two,
    input  wire       minus,
    input  wire [7:0] act,
    output wire [8:0] row
);
    assign row = (({9{one}} & {act[7], act}) | ({9{two}} & {act, 1'b0})) ^ {9{minus}};
endmodule
