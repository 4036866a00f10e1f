// Scales each reading on `{{name}}/in/<sensor>` and publishes it on `{{name}}/out/<sensor>`. One that is above the limit, when
// the one before it was not, is also published on `{{name}}/alarm/<sensor>`.
//
// Every message gets a fresh instance: what has to be remembered goes into the key-value store, and memory need not be freed.
// Everything that a call does takes effect when `handle` returns true, all at once; when it returns false or traps, nothing of
// it happens.

#include <stdlib.h>
#include <string.h>

#include "function.h"
#include "number.h"

typedef exports_selvedge_function_handler_message_t message_t;
typedef exports_selvedge_function_handler_list_message_t messages_t;
typedef exports_selvedge_function_handler_failure_t failure_t;

// Asks for the same message again later.
static bool retry(failure_t *failure, const char *why) {
  failure->tag = EXPORTS_SELVEDGE_FUNCTION_HANDLER_FAILURE_RETRY;
  function_string_dup(&failure->val.retry, why);
  return false;
}

// Gives the message up.
static bool reject(failure_t *failure, const char *why) {
  failure->tag = EXPORTS_SELVEDGE_FUNCTION_HANDLER_FAILURE_REJECT;
  function_string_dup(&failure->val.reject, why);
  return false;
}

static function_string_t text(const char *literal) {
  function_string_t text;
  function_string_set(&text, literal);
  return text;
}

// `before` and the name of the sensor, in memory of its own.
static function_string_t with_sensor(const char *before, function_string_t sensor) {
  size_t length = strlen(before);
  function_string_t joined = {.ptr = malloc(length + sensor.len), .len = length + sensor.len};
  if (joined.ptr == NULL) abort();
  memcpy(joined.ptr, before, length);
  memcpy(joined.ptr + length, sensor.ptr, sensor.len);
  return joined;
}

// A number of `[config]`; `value` stays as it is when nothing is configured.
static bool setting(const char *key, double *value) {
  function_string_t name = text(key), configured;
  return !selvedge_function_env_config(&name, &configured) || number_read(configured.ptr, configured.len, value);
}

// Notes whether this reading is high; `is_new` when the one before it was not.
static bool note(function_string_t sensor, bool is_high, bool *is_new) {
  function_string_t key = with_sensor("high/", sensor);
  selvedge_function_kv_option_entry_t before;
  selvedge_function_kv_error_t error;
  if (!selvedge_function_kv_get(&key, &before, &error)) return false;
  bool was_high = before.is_some && before.val.value.len == 1 && before.val.value.ptr[0] == '1';
  *is_new = is_high && !was_high;
  if (is_high == was_high) return true;

  uint8_t mark = is_high ? '1' : '0';
  function_list_u8_t value = {.ptr = &mark, .len = 1};
  uint64_t revision;
  return selvedge_function_kv_set(&key, &value, NULL, &revision, &error);
}

bool exports_selvedge_function_handler_handle(message_t *message, messages_t *outputs, failure_t *failure) {
  static const char BEFORE[] = "{{name}}/in/";
  size_t before = strlen(BEFORE);
  if (message->topic.len <= before || memcmp(message->topic.ptr, BEFORE, before) != 0) {
    return reject(failure, "the topic is not {{name}}/in/<sensor>");
  }
  function_string_t sensor = {.ptr = message->topic.ptr + before, .len = message->topic.len - before};

  double scale = 1, limit = 1e15, reading;
  if (!setting("scale", &scale) || !setting("limit", &limit)) return reject(failure, "scale or limit is no number");
  if (!number_read(message->payload.ptr, message->payload.len, &reading)) {
    return reject(failure, "the payload is no number");
  }
  reading *= scale;
  uint8_t digits[NUMBER_BYTES_MAX];
  size_t length = number_write(reading, digits);
  if (length == 0) return reject(failure, "the reading is too large");

  bool is_alarm;
  if (!note(sensor, reading > limit, &is_alarm)) return retry(failure, "the state of the sensor is not at hand");
  outputs->len = is_alarm ? 2 : 1;
  outputs->ptr = calloc(outputs->len, sizeof(message_t));
  if (outputs->ptr == NULL) abort();
  for (size_t i = 0; i < outputs->len; i++) {
    message_t *output = &outputs->ptr[i];
    output->topic = with_sensor(i == 0 ? "{{name}}/out/" : "{{name}}/alarm/", sensor);
    output->payload.ptr = malloc(length);
    if (output->payload.ptr == NULL) abort();
    memcpy(output->payload.ptr, digits, length);
    output->payload.len = length;
    output->qos = message->qos;
  }
  if (is_alarm) {
    function_string_t words = text("above the limit");
    selvedge_function_log_log(SELVEDGE_FUNCTION_LOG_LEVEL_WARN, &sensor, &words);
  }
  return true;
}
