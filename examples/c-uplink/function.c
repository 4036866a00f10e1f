// Decodes the frames of a LoRaWAN sensor: `uplinks/<device>` has the frame as hexadecimal text, the way network servers hand it
// on, and `decoded/<device>` gets JSON. A frame that comes again is dropped, and frames that never came are counted.
//
// A frame has nine bytes: kind 01, counter (2), temperature in hundredths of a degree (2, signed), humidity in half percents (1),
// battery in millivolts (2), CRC-8 of what is before it (1). Numbers of more than one byte begin with the highest.

#include <stdlib.h>
#include <string.h>

#include "function.h"

#define FRAME_BYTES 9
#define KIND_CLIMATE 0x01
#define JSON_BYTES_MAX 128

typedef exports_selvedge_function_handler_message_t message_t;
typedef exports_selvedge_function_handler_list_message_t messages_t;
typedef exports_selvedge_function_handler_failure_t failure_t;

// Text that is written piece by piece; what goes in here is known to fit.
typedef struct {
  uint8_t bytes[JSON_BYTES_MAX];
  size_t length;
} json_t;

static bool retry(failure_t *failure, const char *why) {
  failure->tag = EXPORTS_SELVEDGE_FUNCTION_HANDLER_FAILURE_RETRY;
  function_string_dup(&failure->val.retry, why);
  return false;
}

static bool reject(failure_t *failure, const char *why) {
  failure->tag = EXPORTS_SELVEDGE_FUNCTION_HANDLER_FAILURE_REJECT;
  function_string_dup(&failure->val.reject, why);
  return false;
}

static int hex_digit(uint8_t digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

static bool frame_of(const function_list_u8_t *payload, uint8_t frame[FRAME_BYTES]) {
  if (payload->len != 2 * FRAME_BYTES) return false;
  for (size_t i = 0; i < FRAME_BYTES; i++) {
    int high = hex_digit(payload->ptr[2 * i]), low = hex_digit(payload->ptr[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    frame[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

// Polynomial x^8 + x^2 + x + 1, from zero.
static uint8_t crc8(const uint8_t *bytes, size_t length) {
  uint8_t crc = 0;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x07 : crc << 1);
  }
  return crc;
}

static uint16_t number_at(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write_text(json_t *json, const char *text) {
  size_t length = strlen(text);
  memcpy(json->bytes + json->length, text, length);
  json->length += length;
}

static void write_number(json_t *json, uint32_t number) {
  uint8_t digits[10];
  size_t count = 0;
  do digits[count++] = (uint8_t)('0' + number % 10);
  while ((number /= 10) > 0);
  while (count > 0) json->bytes[json->length++] = digits[--count];
}

static void write_hundredths(json_t *json, int32_t hundredths) {
  if (hundredths < 0) write_text(json, "-");
  uint32_t amount = (uint32_t)(hundredths < 0 ? -hundredths : hundredths);
  write_number(json, amount / 100);
  write_text(json, amount % 100 < 10 ? ".0" : ".");
  write_number(json, amount % 100);
}

static json_t json_of(const uint8_t frame[FRAME_BYTES], uint16_t missed) {
  json_t json = {.length = 0};
  write_text(&json, "{\"temperature\":");
  write_hundredths(&json, (int16_t)number_at(frame + 3));
  write_text(&json, ",\"humidity\":");
  write_hundredths(&json, frame[5] * 50);
  write_text(&json, ",\"battery_mv\":");
  write_number(&json, number_at(frame + 6));
  write_text(&json, ",\"counter\":");
  write_number(&json, number_at(frame + 1));
  write_text(&json, ",\"missed\":");
  write_number(&json, missed);
  write_text(&json, "}");
  return json;
}

static function_string_t joined(const char *before, const uint8_t *text, size_t length) {
  size_t before_length = strlen(before);
  function_string_t both = {.ptr = malloc(before_length + length), .len = before_length + length};
  if (both.ptr == NULL) abort();
  memcpy(both.ptr, before, before_length);
  memcpy(both.ptr + before_length, text, length);
  return both;
}

typedef enum { FRAME_NEW, FRAME_AGAIN, FRAME_UNKNOWN } novelty_t;

// Compares with the counter of the device's last frame and keeps this one. The counter begins anew after 65535.
static novelty_t novelty(const uint8_t *device, size_t length, const uint8_t counter[2], uint16_t *missed) {
  function_string_t key = joined("counter/", device, length);
  selvedge_function_kv_option_entry_t last;
  selvedge_function_kv_error_t error;
  if (!selvedge_function_kv_get(&key, &last, &error)) return FRAME_UNKNOWN;
  *missed = 0;
  if (last.is_some && last.val.value.len == 2) {
    uint16_t steps = (uint16_t)(number_at(counter) - number_at(last.val.value.ptr));
    if (steps == 0) return FRAME_AGAIN;
    *missed = (uint16_t)(steps - 1);
  }
  uint8_t kept[2] = {counter[0], counter[1]};
  function_list_u8_t value = {.ptr = kept, .len = sizeof kept};
  uint64_t revision;
  return selvedge_function_kv_set(&key, &value, NULL, &revision, &error) ? FRAME_NEW : FRAME_UNKNOWN;
}

bool exports_selvedge_function_handler_handle(message_t *message, messages_t *outputs, failure_t *failure) {
  static const char BEFORE[] = "uplinks/";
  size_t before = strlen(BEFORE);
  if (message->topic.len <= before || memcmp(message->topic.ptr, BEFORE, before) != 0) {
    return reject(failure, "the topic is not uplinks/<device>");
  }
  const uint8_t *device = message->topic.ptr + before;
  size_t device_length = message->topic.len - before;

  uint8_t frame[FRAME_BYTES];
  if (!frame_of(&message->payload, frame)) return reject(failure, "the payload is not a frame in hexadecimal");
  if (frame[0] != KIND_CLIMATE) return reject(failure, "the frame is of another kind");
  if (crc8(frame, FRAME_BYTES - 1) != frame[FRAME_BYTES - 1]) return reject(failure, "the checksum of the frame is wrong");

  uint16_t missed;
  outputs->len = 0;
  switch (novelty(device, device_length, frame + 1, &missed)) {
    case FRAME_UNKNOWN: return retry(failure, "the last counter is not at hand");
    case FRAME_AGAIN: return true;
    case FRAME_NEW: break;
  }
  json_t json = json_of(frame, missed);
  message_t *output = calloc(1, sizeof(message_t));
  if (output == NULL) abort();
  output->topic = joined("decoded/", device, device_length);
  function_string_t payload = joined("", json.bytes, json.length);
  output->payload = (function_list_u8_t){.ptr = payload.ptr, .len = payload.len};
  output->qos = message->qos;
  output->properties.content_type.is_some = true;
  function_string_dup(&output->properties.content_type.val, "application/json");
  outputs->ptr = output;
  outputs->len = 1;
  return true;
}
