# What bench/macro/worker.py does, in workerd. The address of the socket is given on the command line.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .gateway),
    (name = "upstreams", network = (allow = ["private"])),
  ],
  sockets = [ (name = "http", http = (), service = "main") ],
);

const gateway :Workerd.Worker = (
  modules = [ (name = "worker.mjs", esModule = embed "worker.mjs") ],
  bindings = [ (name = "UPSTREAM", fromEnvironment = "UPSTREAM") ],
  globalOutbound = "upstreams",
  compatibilityDate = "2025-09-01",
);
