// A webhook receiver that verifies with the official package: npm install standardwebhooks
//
//     SECRET=whsec_... node receiver.mjs

import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SECRET);

createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += chunk;
  let status;
  try {
    const event = webhook.verify(body, request.headers);
    status = existsSync("broken") ? 500 : 200;
    console.log(status, "verified", request.headers["webhook-id"], event.type, "attempt", request.headers["webhook-attempt"]);
  } catch (error) {
    status = 401;
    console.log(status, "NOT verified:", error.message);
  }
  response.writeHead(status).end();
}).listen(process.env.PORT ?? 3000, "127.0.0.1");
