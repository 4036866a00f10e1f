"""Answers each message on `{{name}}/in/<who>` with a greeting on `{{name}}/out/<who>`, and counts them.

Every message gets a fresh instance: what has to be remembered goes into the key-value store. Everything that a call does takes
effect when `handle` returns, all at once; when it raises, nothing of it happens. What stands outside of `handle` runs once, when
the component is built.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.handler import Failure_Reject
from wit_world.imports import env, kv, log
from wit_world.imports.types import Message


class Handler(exports.Handler):
    def handle(self, msg: Message) -> list[Message]:
        """Returns the messages to publish.

        `raise Err(Failure_Retry(why))` asks for the same message again later, `raise Err(Failure_Reject(why))` gives it up.
        """
        prefix, found, who = msg.topic.partition("/in/")
        if not found:
            raise Err(Failure_Reject("the topic has no /in/"))

        greeting = env.config("greeting") or "Hello"
        number = kv.increment(f"greeted/{who}", 1)
        log.log(log.Level.INFO, who, f"greeting number {number}")

        msg.topic = f"{prefix}/out/{who}"
        msg.payload = f"{greeting} {who}, number {number}: {msg.payload.decode()}".encode()
        return [msg]
