#!/usr/bin/env node
// An MCP server without packages: JSON-RPC over standard input and output, and one tool.
const text = { type: "string" };
const tool = { name: "shout", description: "Say it louder.", inputSchema: { type: "object", properties: { text }, required: ["text"] } };
const serverInfo = { name: "shouting", version: "1" };
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo }),
  "tools/list": () => ({ tools: [tool] }),
  "tools/call": ({ arguments: { text } }) => ({ content: [{ type: "text", text: text.toUpperCase() }] }),
};
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = answers[method] ?? (() => ({}));
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answer(params) }));
});
