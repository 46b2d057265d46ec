// SPDX-License-Identifier: MIT
//
// float_text: floating-point numbers as the shortest JSON that reads back as the same number.
//
// A model's answer is mostly such numbers, and an answer has 6 MB at most: 0.1 as a float must not
// become 0.10000000149011612. What JSON has no number for becomes the strings "NaN", "Infinity" and
// "-Infinity", as in protobuf's JSON mapping. Integral values keep a ".0".

#ifndef LAMINA_MODEL_RUNTIME_FLOAT_TEXT_H
#define LAMINA_MODEL_RUNTIME_FLOAT_TEXT_H

#include <stddef.h>

#define FLOAT_TEXT_BYTES 32

// Both return the text's length; no NUL is written after it.
size_t float_text_fp32(float value, char text[FLOAT_TEXT_BYTES]);
size_t float_text_fp64(double value, char text[FLOAT_TEXT_BYTES]);

#endif
