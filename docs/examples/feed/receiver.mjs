// A webhook receiver that misses nothing: gaps in webhook-sequence are closed from the feed. npm install standardwebhooks
//
//     SECRET=whsec_... TOKEN=prt_... FEED=http://127.0.0.1:8700/v1/tenants/acme/endpoints/ep_.../feed node receiver.mjs
//
// The token needs the scope webhook-events-read. What was taken in is a line `sequence id` of the file `taken`, written before
// it is acknowledged; a new start goes on from there. In earnest it is a row of your database, in the same transaction as what
// you do with the event.

import { existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Webhook } from "standardwebhooks";

const PATIENCE_MS = 500; // what is under way arrives by itself: the feed is asked for what has not come by then

const { SECRET, TOKEN, FEED, PORT } = process.env;
const webhook = new Webhook(SECRET);
let last = 0; // everything up to this sequence is taken, or gone for good
const ahead = new Set(); // sequences beyond it that are taken
const ids = new Set(); // the same event may come again, from the feed or as a retry: it is known by its id
let closing = false;

function note(sequence) {
  ahead.add(sequence);
  while (ahead.delete(last + 1)) last += 1;
}

// Retention has removed what lies up to there and is not taken: it is gone for good.
function skip(sequence) {
  if (sequence <= last) return;
  writeSync(taken, `${sequence} -\n`);
  forget(sequence);
}

function forget(sequence) {
  last = Math.max(last, sequence);
  for (const other of ahead) if (other <= last) ahead.delete(other);
  while (ahead.delete(last + 1)) last += 1;
}

function take(sequence, event, how) {
  if (!ids.has(event.id)) {
    // Here the work is done.
    writeSync(taken, `${sequence} ${event.id}\n`);
    fsyncSync(taken);
    ids.add(event.id);
    console.log("took", sequence, event.id, event.type, how);
  } else if (how === "delivered") {
    return; // the number is not signed: an event that comes again must not pass for the one that is missing
  }
  note(sequence);
  if (ahead.size > 0) closeGaps();
}

async function readFeed() {
  for (;;) {
    const answer = await fetch(`${FEED}?after=${last}&limit=250`, { headers: { authorization: `Bearer ${TOKEN}` } });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    const page = await answer.json();
    for (const { sequence, event } of page.data) {
      skip(sequence - 1);
      take(sequence, event, "from the feed");
    }
    if (page.data.length === 0) return skip(page.last_sequence);
  }
}

async function closeGaps() {
  if (closing) return;
  closing = true;
  let read = false;
  while (!read || ahead.size > 0) {
    await sleep(PATIENCE_MS);
    try {
      await readFeed();
      read = true;
    } catch (error) {
      console.log("the feed cannot be read:", error.message);
    }
  }
  closing = false;
}

const kept = existsSync("taken") ? readFileSync("taken", "utf8").split("\n") : [];
const taken = openSync("taken", "a");
for (const line of kept.filter(Boolean)) {
  const [sequence, id] = line.split(" ");
  if (id === "-") {
    forget(Number(sequence));
  } else {
    ids.add(id);
    note(Number(sequence));
  }
}
closeGaps(); // what came while nobody listened

createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  let status;
  try {
    const event = webhook.verify(body, request.headers);
    status = existsSync("broken") ? 500 : 200;
    const sequence = request.headers["webhook-sequence"];
    // A test has no sequence: it is no event.
    if (status === 200 && sequence) take(Number(sequence), { id: request.headers["webhook-id"], ...event }, "delivered");
  } catch (error) {
    status = 401;
    console.log(status, "NOT verified:", error.message);
  }
  response.writeHead(status).end();
}).listen(PORT ?? 3000, "127.0.0.1");
