// One radix-4 Booth row: (digit of the weight, -2..2) * activation, digit = -2*bits[2] + bits[1] + bits[0].
// The product is `row + negative`, row a nine-bit two's complement word; the caller adds `negative` in a carry slot.
module booth_row (
    input  wire [2:0] bits,
    input  wire [7:0] act,
    output wire [8:0] row,
    output wire       negative
);
    wire       one  = bits[1] ^ bits[0];
    wire       two  = (bits[2] & ~bits[1] & ~bits[0]) | (~bits[2] & bits[1] & bits[0]);
    wire [8:0] size = ({9{one}} & {act[7], act}) | ({9{two}} & {act, 1'b0});

    assign negative = bits[2];
    assign row = size ^ {9{negative}};
endmodule
