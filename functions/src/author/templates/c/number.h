// Numbers as text: there is no strtod and no printf in a function.
#ifndef NUMBER_H
#define NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that number_write needs.
#define NUMBER_BYTES_MAX 24

// Reads a decimal number such as 21.5 or -3e2, with blanks around it; false when the text is none.
bool number_read(const uint8_t *text, size_t length, double *number);

// Writes a number with up to three decimals and gives back how many bytes it took; 0 when it is not between -1e15 and 1e15.
size_t number_write(double number, uint8_t *text);

#endif
