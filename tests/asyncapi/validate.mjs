// Parses an AsyncAPI document, and prints what the parser found in it and what it has to say of it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { Parser } = createRequire(import.meta.url)('@asyncapi/parser');
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'));
const said = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path: path.join('.'), severity }));
const channels = document?.channels().all().map((channel) => ({
  id: channel.id(),
  address: channel.address() ?? null,
  messages: channel.messages().all().map((message) => message.id()),
}));
const operations = document?.operations().all().map((operation) => [operation.id(), operation.action()]);
const headers = document?.components().messages().all().map((message) => [
  message.id(),
  message.headers() ? Object.keys(message.headers().properties() ?? {}) : [],
  message.payload() ? Object.keys(message.payload().properties() ?? {}) : [],
  message.bindings().has('kafka'),
]);
console.log(JSON.stringify({ diagnostics: said, channels, operations, headers }));
