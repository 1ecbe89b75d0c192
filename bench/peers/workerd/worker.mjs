export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/stream") {
      return fetch(`${env.UPSTREAM}/bytes?size=${searchParams.get("bytes")}`);
    }
    const count = Number(searchParams.get("n") ?? 0);
    return Response.json(await Promise.all(Array.from({ length: count }, (_, number) => one(env, number))));
  },
};

async function one(env, number) {
  const response = await fetch(`${env.UPSTREAM}/item/${number}`);
  return response.json();
}
