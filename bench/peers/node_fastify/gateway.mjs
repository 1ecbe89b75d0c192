// What bench/macro/worker.py does, with fastify and one undici pool for the upstream's origin.

import Fastify from "fastify";
import { Pool } from "undici";

const pool = new Pool(process.env.UPSTREAM, {
  connections: Number(process.env.CONNECTIONS) || null,
  keepAliveTimeout: 600_000,
  headersTimeout: 0,
});
const app = Fastify({ logger: false });

app.get("/", async (request) => {
  const count = Number(request.query.n ?? 0);
  return Promise.all(Array.from({ length: count }, (_, number) => one(number)));
});

app.get("/stream", async (request, reply) => {
  const { headers, body } = await pool.request({ method: "GET", path: `/bytes?size=${request.query.bytes}` });
  reply.header("content-type", headers["content-type"]).header("content-length", headers["content-length"]);
  return reply.send(body);
});

async function one(number) {
  const { body } = await pool.request({ method: "GET", path: `/item/${number}` });
  return body.json();
}

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT), backlog: 4096 });
