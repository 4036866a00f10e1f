#include "number.h"

static bool is_digit(uint8_t byte) {
  return byte >= '0' && byte <= '9';
}

static bool is_blank(uint8_t byte) {
  return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

bool number_read(const uint8_t *text, size_t length, double *number) {
  const uint8_t *at = text, *end = text + length;
  while (at < end && is_blank(*at)) at++;
  while (end > at && is_blank(end[-1])) end--;

  bool is_negative = at < end && *at == '-';
  if (is_negative) at++;
  double value = 0;
  int exponent = 0;
  bool has_digits = false;
  for (; at < end && is_digit(*at); at++, has_digits = true) value = value * 10 + (*at - '0');
  if (at < end && *at == '.') {
    for (at++; at < end && is_digit(*at); at++, has_digits = true, exponent--) value = value * 10 + (*at - '0');
  }
  if (!has_digits) return false;
  if (at < end && (*at == 'e' || *at == 'E')) {
    at++;
    bool is_small = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    int given = 0;
    if (at == end) return false;
    for (; at < end && is_digit(*at); at++) given = given < 1000 ? given * 10 + (*at - '0') : given;
    exponent += is_small ? -given : given;
  }
  // Dividing by a power of ten is exact where multiplying by its inverse is not.
  double power = 1;
  for (int i = exponent < 0 ? -exponent : exponent; i > 0 && power < 1e300; i--) power *= 10;
  value = exponent < 0 ? value / power : value * power;
  *number = is_negative ? -value : value;
  return at == end;
}

size_t number_write(double number, uint8_t *text) {
  if (!(number > -1e15 && number < 1e15)) return 0;
  bool is_negative = number < 0;
  uint64_t thousandths = (uint64_t)((is_negative ? -number : number) * 1000 + 0.5);
  uint64_t whole = thousandths / 1000, rest = thousandths % 1000;

  uint8_t digits[20];
  size_t count = 0, length = 0;
  do {
    digits[count++] = (uint8_t)('0' + whole % 10);
    whole /= 10;
  } while (whole > 0);
  if (is_negative && thousandths > 0) text[length++] = '-';
  while (count > 0) text[length++] = digits[--count];
  if (rest > 0) text[length++] = '.';
  for (uint64_t place = 100; rest > 0; rest %= place, place /= 10) text[length++] = (uint8_t)('0' + rest / place);
  return length;
}
