// Drives mqtt.js in Node: one JSON command a line on standard input, one JSON answer a line on standard output.
// Its only argument is the folder in which setup installed the packages.

import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import "./mqttjs_sessions.js";

const require = createRequire(path.join(path.resolve(process.argv[2]), "package.json"));
const answer = globalThis.createSessions(require("mqtt"));

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}
process.exit(0);
