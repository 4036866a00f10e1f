// Answers each message on `{{name}}/in/<who>` with a greeting on `{{name}}/out/<who>`, and counts them.
//
// Every message gets a fresh instance: what has to be remembered goes into the key-value store. Everything that a call
// does takes effect when `handle` returns, all at once; when it throws, nothing of it happens.

import env from "selvedge:function/env@0.1.0";
import kv from "selvedge:function/kv@0.1.0";
import log from "selvedge:function/log@0.1.0";
import { bytesOf, textOf } from "./text.js";

export const handler = {
  // Returns the messages to publish. `throw { tag: "retry", val: why }` asks for the same message again later,
  // `throw { tag: "reject", val: why }` gives it up.
  handle(message) {
    const [prefix, who] = message.topic.split("/in/");
    if (who === undefined) throw { tag: "reject", val: "the topic has no /in/" };

    const greeting = env.config("greeting") ?? "Hello";
    const number = kv.increment(`greeted/${who}`, 1);
    log.log("info", who, `greeting number ${number}`);

    const text = `${greeting} ${who}, number ${number}: ${textOf(message.payload)}`;
    return [{ ...message, topic: `${prefix}/out/${who}`, payload: bytesOf(text) }];
  },
};
