// Forwards `meters/<meter>/power` to `changed/<meter>/power` only when the reading moved by more than the deadband, or
// when nothing was forwarded for the length of the heartbeat. A meter that reports its power every second while nothing
// happens then costs one message in ten minutes.
//
// In: a number, or an object with a number `value`; other fields of the object go along.
// Out: `{"value": …, "previous": …, "dropped": …}` with how many readings were left out since the last one.

import env from "selvedge:function/env@0.1.0";
import kv from "selvedge:function/kv@0.1.0";
import log from "selvedge:function/log@0.1.0";
import { bytesOf, textOf } from "./text.js";

export const handler = {
  handle(message) {
    const [, meter, quantity] = message.topic.split("/");
    const reading = parse(message.payload);
    const key = `last/${meter}/${quantity}`;
    const last = load(key);
    const now = env.nowMs();

    const moved = last === null || Math.abs(reading.value - last.value) > setting("deadband", 5);
    const silent = last !== null && now - last.sentMs >= setting("heartbeat-s", 600) * 1000;
    if (!moved && !silent) {
      store(key, { ...last, dropped: last.dropped + 1 });
      return [];
    }

    const dropped = last?.dropped ?? 0;
    store(key, { value: reading.value, sentMs: now, dropped: 0 });
    log.log("debug", meter, `forwarded ${reading.value} after ${dropped} left out`);
    const forwarded = { ...reading, previous: last?.value ?? null, dropped };
    return [
      {
        ...message,
        topic: `changed/${meter}/${quantity}`,
        payload: encode(forwarded),
        properties: { ...message.properties, contentType: "application/json" },
      },
    ];
  },
};

function parse(payload) {
  let reading;
  try {
    reading = JSON.parse(textOf(payload));
  } catch {
    reject("the payload is not JSON");
  }
  if (typeof reading === "number") return { value: reading };
  if (typeof reading?.value !== "number") reject("the payload has no number as its value");
  return reading;
}

function setting(key, standard) {
  const text = env.config(key);
  if (text === null) return standard;
  const number = Number(text);
  if (!(number >= 0)) reject(`the configured ${key} is not a number from 0: ${text}`);
  return number;
}

function load(key) {
  const entry = kv.get(key);
  return entry === null ? null : JSON.parse(textOf(entry.value));
}

function store(key, state) {
  kv.set(key, encode(state), null);
}

function encode(value) {
  return bytesOf(JSON.stringify(value));
}

// A message that will never be understood is given up; `retry` would ask for it again.
function reject(why) {
  throw { tag: "reject", val: why };
}
