// A partner of a platform: checks what it is sent as that platform's documentation says. Nothing but Node is needed.
//
//     PLATFORM=mcards SECRET=... USERNAME=... PASSWORD=... node partner.mjs
//
// With SECRET_FILE the secret is read from that file whenever it is needed, so that it may come later, or change. Prints a line for each request, which ends with the digest of the body as it came.

import assert from "node:assert";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { PLATFORM, SECRET, SECRET_FILE, USERNAME, PASSWORD, PORT } = process.env;

const secret = () => (SECRET_FILE ? readFileSync(SECRET_FILE) : SECRET);

function basic(headers) {
  const expected = "Basic " + Buffer.from(`${USERNAME}:${PASSWORD}`).toString("base64");
  assert(headers.authorization === expected, "not the credentials");
}

function signed(body, signature) {
  const computed = Buffer.from(createHmac("sha256", secret()).update(body).digest("hex"));
  const given = Buffer.from(signature ?? "");
  assert(given.length === computed.length && timingSafeEqual(given, computed), "not the signature");
}

const checks = {
  clevercards(headers, body) {
    basic(headers);
    signed(body, headers["x-signature"]);
    const event = JSON.parse(body);
    assert(Object.keys(event).join() === "eventId,eventType,occurredAt,data", "not the envelope");
    assert(event.eventId === headers["idempotency-key"], "not the idempotency key");
    return [event.eventId, event.eventType];
  },
  penny(headers, body) {
    assert(headers.authorization === `Bearer ${PASSWORD}`, "not the authorization token");
    const event = JSON.parse(body);
    assert(Object.keys(event).join() === "event_id,event_identifier,data", "not the general structure");
    return [event.event_id, event.event_identifier];
  },
  fourpay(headers, body) {
    signed(body, headers["x-webhook-signature"]);
    return [headers["x-webhook-id"], headers["x-webhook-event"]];
  },
  mcards(headers, body) {
    basic(headers);
    signed(body, headers["x-hmac-signature"]);
    return [headers["x-webhook-id"], JSON.parse(body).webhook_event_type];
  },
  opencard(headers, body) {
    basic(headers);
    signed(body, headers["x-data-signature"]);
    assert(headers["x-version"] === "1", "not the version");
    return [headers["x-webhook-id"], headers["x-event"]];
  },
};

// The challenge of OpenCard: signs nothing but 20 letters and digits.
function proof(request) {
  basic(request.headers);
  const challenge = new URL(request.url, "http://partner").searchParams.get("challenge") ?? "";
  assert(PLATFORM === "opencard" && request.headers["x-event"] === "challenge", "not a challenge");
  assert(/^[A-Za-z0-9]{20}$/.test(challenge), "not to be signed");
  return createHmac("sha256", secret()).update(challenge).digest("hex");
}

createServer(async (request, response) => {
  if (request.method === "GET") {
    try {
      response.setHeader("X-Verify-Token", proof(request));
      console.log("200 challenge");
    } catch (error) {
      response.statusCode = 400;
      console.log(400, error.message);
    }
    response.end();
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  let status = 200;
  let said;
  try {
    assert(request.headers["content-type"] === "application/json", "not JSON");
    const [event, kind] = checks[PLATFORM](request.headers, body);
    said = `${event} ${kind} ${request.headers["x-webhook-sequence"]}`;
  } catch (error) {
    status = 401;
    said = error.message;
  }
  console.log(status, said, createHash("sha256").update(body).digest("hex"));
  response.writeHead(status, { "content-length": 0 }).end();
}).listen(Number(PORT), "127.0.0.1");
