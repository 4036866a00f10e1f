// Drives mqtt.js in a page of headless Chromium: one JSON command a line on standard input, one JSON answer a line on
// standard output. Arguments: the folder in which setup installed the packages, and the browser.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

const packages = path.resolve(process.argv[2]);
const { chromium } = createRequire(path.join(packages, "package.json"))("playwright-core");

const files = {
  "/mqtt.js": path.join(packages, "node_modules/mqtt/dist/mqtt.min.js"),
  "/sessions.js": fileURLToPath(new URL("./mqttjs_sessions.js", import.meta.url)),
};
const page_text = '<!doctype html><script src="/mqtt.js"></script><script src="/sessions.js"></script>';
const server = createServer(async (request, response) => {
  const file = files[request.url];
  const type = file ? "text/javascript" : "text/html";
  response.writeHead(200, { "content-type": type });
  response.end(file ? await readFile(file) : page_text);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath: process.argv[3],
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-gpu"],
});
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
await page.evaluate(() => {
  globalThis.answer = globalThis.createSessions(globalThis.mqtt);
});

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await page.evaluate((command) => globalThis.answer(command), JSON.parse(line))));
}
await browser.close();
process.exit(0);
