// SPDX-License-Identifier: MIT
//
// The shortest digits of a float by Raffaello Giulietti's Schubfach ("The Schubfach way to render
// doubles", 2020, section 9; here for 24-bit significands). The names of variables are the paper's.

#include "model_runtime/float_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POWER_MIN (-31)
#define POWER_MAX 45

// ceil(10^k * 2^(63 - floor(log2(10^k)))) for k = POWER_MIN ... POWER_MAX; checked by
// tests/unit/test_float_text.c against the C library's own conversions.
static const uint64_t powers_of_ten[POWER_MAX - POWER_MIN + 1] = {
    0x81ceb32c4b43fcf5, 0xa2425ff75e14fc32, 0xcad2f7f5359a3b3f, 0xfd87b5f28300ca0e,
    0x9e74d1b791e07e49, 0xc612062576589ddb, 0xf79687aed3eec552, 0x9abe14cd44753b53,
    0xc16d9a0095928a28, 0xf1c90080baf72cb2, 0x971da05074da7bef, 0xbce5086492111aeb,
    0xec1e4a7db69561a6, 0x9392ee8e921d5d08, 0xb877aa3236a4b44a, 0xe69594bec44de15c,
    0x901d7cf73ab0acda, 0xb424dc35095cd810, 0xe12e13424bb40e14, 0x8cbccc096f5088cc,
    0xafebff0bcb24aaff, 0xdbe6fecebdedd5bf, 0x89705f4136b4a598, 0xabcc77118461cefd,
    0xd6bf94d5e57a42bd, 0x8637bd05af6c69b6, 0xa7c5ac471b478424, 0xd1b71758e219652c,
    0x83126e978d4fdf3c, 0xa3d70a3d70a3d70b, 0xcccccccccccccccd, 0x8000000000000000,
    0xa000000000000000, 0xc800000000000000, 0xfa00000000000000, 0x9c40000000000000,
    0xc350000000000000, 0xf424000000000000, 0x9896800000000000, 0xbebc200000000000,
    0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000, 0xe8d4a51000000000,
    0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000, 0x8e1bc9bf04000000,
    0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000, 0xad78ebc5ac620000,
    0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400, 0xd3c21bcecceda100,
    0x84595161401484a0, 0xa56fa5b99019a5c8, 0xcecb8f27f4200f3a, 0x813f3978f8940985,
    0xa18f07d736b90be6, 0xc9f2c9cd04674edf, 0xfc6f7c4045812297, 0x9dc5ada82b70b59e,
    0xc5371912364ce306, 0xf684df56c3e01bc7, 0x9a130b963a6c115d, 0xc097ce7bc90715b4,
    0xf0bdc21abb48db21, 0x96769950b50d88f5, 0xbc143fa4e250eb32, 0xeb194f8e1ae525fe,
    0x92efd1b8d0cf37bf, 0xb7abc627050305ae, 0xe596b7b0c643c71a, 0x8f7e32ce7bea5c70,
    0xb35dbf821ae4f38c,
};

struct decimal {
    uint32_t digits;
    int exponent; // digits * 10^exponent
};

static int floor_log2_power_of_ten(int k)
{
    return (k * 1741647) >> 19;
}

// The upper bits of g * cp, with what was cut off kept as the lowest bit.
static uint32_t round_to_odd(uint64_t g, uint32_t cp)
{
    unsigned __int128 product = (unsigned __int128) g * cp;
    uint32_t y1 = (uint32_t) (product >> 64), y0 = (uint32_t) (product >> 32);
    return y1 | (y0 > 1);
}

static struct decimal shortest(uint32_t fraction, int exponent)
{
    uint32_t c = exponent != 0 ? fraction | 1u << 23 : fraction;
    int q = (exponent != 0 ? exponent : 1) - 150;
    if (q <= 0 && q > -24 && exponent != 0 && (c & ((1u << -q) - 1)) == 0)
        return (struct decimal){c >> -q, 0}; // an integer below 2^24

    // The interval that rounds to this float: [cbl, cbr] / 4 * 2^q, its ends included for even c.
    bool is_closer_below = fraction == 0 && exponent > 1;
    uint32_t is_odd = c & 1;
    int k = (q * 1262611 - (is_closer_below ? 524031 : 0)) >> 22;
    int h = q + floor_log2_power_of_ten(-k) + 1;
    uint64_t g = powers_of_ten[-k - POWER_MIN];
    uint32_t lower = round_to_odd(g, (4 * c - 2 + is_closer_below) << h) + is_odd;
    uint32_t vb = round_to_odd(g, (4 * c) << h);
    uint32_t upper = round_to_odd(g, (4 * c + 2) << h) - is_odd;

    uint32_t s = vb / 4;
    if (s >= 10) { // one digit fewer, if exactly one such number lies inside
        uint32_t sp = s / 10;
        bool is_up_inside = lower <= 40 * sp, is_wp_inside = 40 * sp + 40 <= upper;
        if (is_up_inside != is_wp_inside)
            return (struct decimal){sp + is_wp_inside, k + 1};
    }
    bool is_u_inside = lower <= 4 * s, is_w_inside = 4 * s + 4 <= upper;
    if (is_u_inside != is_w_inside)
        return (struct decimal){s + is_w_inside, k};
    uint32_t middle = 4 * s + 2;
    bool is_rounded_up = vb > middle || (vb == middle && (s & 1) != 0);
    return (struct decimal){s + is_rounded_up, k};
}

static size_t put_digits(uint32_t value, char *out)
{
    char reversed[10];
    size_t count = 0;
    do {
        reversed[count++] = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

static size_t put_zeros(char *out, int count)
{
    memset(out, '0', (size_t) count);
    return (size_t) count;
}

// Without an exponent from 1e-5 to 1e10, as people write such numbers.
static size_t put_decimal(struct decimal decimal, char *out)
{
    char digits[10];
    while (decimal.digits % 10 == 0 && decimal.digits > 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    size_t count = put_digits(decimal.digits, digits), size = 0;
    int point = (int) count + decimal.exponent; // digits before the decimal point
    if (decimal.exponent >= 0 && point <= 10) {
        memcpy(out, digits, count);
        size = count + put_zeros(out + count, decimal.exponent);
        out[size++] = '.';
        out[size++] = '0';
    } else if (point > 0 && point <= 10) {
        memcpy(out, digits, (size_t) point);
        out[point] = '.';
        memcpy(out + point + 1, digits + point, count - (size_t) point);
        size = count + 1;
    } else if (point <= 0 && point > -5) {
        out[size++] = '0';
        out[size++] = '.';
        size += put_zeros(out + size, -point);
        memcpy(out + size, digits, count);
        size += count;
    } else {
        out[size++] = digits[0];
        if (count > 1)
            out[size++] = '.';
        memcpy(out + size, digits + 1, count - 1);
        size += count - 1;
        out[size++] = 'e';
        int exponent = point - 1;
        if (exponent < 0)
            out[size++] = '-';
        size += put_digits((uint32_t) abs(exponent), out + size);
    }
    return size;
}

static size_t put_special(double value, char *text)
{
    const char *word = isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    size_t size = strlen(word);
    memcpy(text, word, size);
    return size;
}

size_t float_text_fp32(float value, char text[FLOAT_TEXT_BYTES])
{
    uint32_t bits;
    size_t size = 0;
    if (!isfinite(value))
        return put_special((double) value, text);
    memcpy(&bits, &value, sizeof bits);
    if (bits >> 31)
        text[size++] = '-';
    if ((bits & 0x7FFFFFFF) == 0) {
        memcpy(text + size, "0.0", 3);
        return size + 3;
    }
    return size + put_decimal(shortest(bits & 0x7FFFFF, (int) (bits >> 23 & 0xFF)), text + size);
}

// Doubles are rare in models: the first of the three lengths that reads back.
size_t float_text_fp64(double value, char text[FLOAT_TEXT_BYTES])
{
    char digits[FLOAT_TEXT_BYTES];
    int size = 0;
    if (!isfinite(value))
        return put_special(value, text);
    for (int precision = 15; precision <= 17; precision++) {
        size = snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    memcpy(text, digits, (size_t) size);
    if (strcspn(digits, ".e") == (size_t) size) {
        memcpy(text + size, ".0", 2);
        size += 2;
    }
    return (size_t) size;
}
