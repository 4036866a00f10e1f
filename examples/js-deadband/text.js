// UTF-8: QuickJS has neither TextDecoder nor TextEncoder.

// The text of a payload; throws a URIError when it is not UTF-8.
export function textOf(bytes) {
  let binary = "";
  for (let start = 0; start < bytes.length; start += 4096) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 4096));
  }
  return decodeURIComponent(escape(binary));
}

// A payload of a text.
export function bytesOf(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (character) => character.charCodeAt(0));
}
