// node's ssh2, as a person has it. It knows no certificates at all: it logs in with a registered key, and compares the
// plain host key.
//
//     with_ssh2.js ROUTE VERB [WORD…]
//
// ROUTE is JSON, and says through what to go; the verbs are the functions at the end.
"use strict";

const fs = require("node:fs");
const net = require("node:net");
const { Client } = require("ssh2");

function connect(route, sock) {
  return new Promise((resolve, reject) => {
    const client = new Client();
    client.on("ready", () => resolve(client)).on("error", reject);
    client.on("close", () => reject(new Error("the connection was closed")));
    client.connect({
      host: route.host,
      port: route.port,
      username: route.user,
      privateKey: fs.readFileSync(route.key),
      hostVerifier: (key) => key.toString("base64") === route.host_key,
      sock,
      // The keys in it are for the target to ask for, and not to log in with.
      agent: route.agent,
      agentForward: Boolean(route.agent),
      // It takes OpenSSH's extensions from nobody else by itself.
      strictVendor: false,
      authHandler: ["none", "publickey"],
    });
  });
}

/** The connections that a route asks for, the innermost first. */
async function connected(route) {
  if (!route.through) {
    return [await connect(route)];
  }
  const outer = await connect(route.through);
  const stream = await new Promise((resolve, reject) => {
    outer.forwardOut("127.0.0.1", 0, route.host, route.port, (error, stream) => (error ? reject(error) : resolve(stream)));
  });
  return [await connect(route, stream), outer];
}

function run(ssh, command) {
  return new Promise((resolve, reject) => {
    ssh.on("close", () => resolve(255));
    ssh.exec(command, (error, stream) => {
      if (error) {
        reject(error);
        return;
      }
      stream.on("close", (code) => resolve(code ?? 255));
      stream.pipe(process.stdout);
      stream.stderr.pipe(process.stderr);
      stream.end();
    });
  });
}

/** Runs a command with what comes on standard input, and shows what comes back. */
function echo(ssh, command) {
  return new Promise((resolve, reject) => {
    ssh.on("close", () => resolve(255));
    ssh.exec(command, (error, stream) => {
      if (error) {
        reject(error);
        return;
      }
      stream.on("close", (code) => resolve(code ?? 255));
      stream.pipe(process.stdout);
      process.stdin.pipe(stream);
    });
  });
}

function fast(ssh, verb, source, destination) {
  return new Promise((resolve, reject) => {
    ssh.on("close", () => reject(new Error("the connection was closed")));
    ssh.sftp((error, sftp) => {
      if (error) {
        reject(error);
        return;
      }
      sftp[verb](source, destination, (error) => (error ? reject(error) : resolve(0)));
    });
  });
}

/** Each kind of forward; stays until somebody ends it. */
function forward(ssh, words) {
  const ends = JSON.parse(words);
  const here = "127.0.0.1";
  const listen = (at, open) => {
    // Each direction of a forward ends by itself.
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      open((error, stream) => {
        if (error) {
          socket.destroy();
          return;
        }
        socket.pipe(stream).pipe(socket);
        socket.resume();
      });
    });
    server.listen(at);
  };
  listen({ host: here, port: ends.local }, (opened) => ssh.forwardOut(here, 1, here, ends.port, opened));
  listen({ path: ends.near }, (opened) => ssh.openssh_forwardOutStreamLocal(ends.socket, opened));
  const back = (to) => (info, accept) => {
    const stream = accept();
    const socket = net.connect({ allowHalfOpen: true, ...to });
    socket.pipe(stream).pipe(socket);
  };
  ssh.on("tcp connection", back({ host: here, port: ends.port }));
  ssh.on("unix connection", back({ path: ends.socket }));
  return new Promise((resolve, reject) => {
    ssh.on("close", () => resolve(255));
    ssh.openssh_forwardInStreamLocal(ends.far, (error) => {
      if (error) {
        reject(error);
        return;
      }
      ssh.forwardIn("localhost", 0, (error, port) => {
        if (error) {
          reject(error);
          return;
        }
        process.stdout.write(`Allocated port ${port}\n`);
      });
    });
  });
}

async function main() {
  const [route, verb, ...words] = process.argv.slice(2);
  const verbs = {
    run: (ssh) => run(ssh, ...words),
    echo: (ssh) => echo(ssh, ...words),
    "put-sftp": (ssh) => fast(ssh, "fastPut", ...words),
    "get-sftp": (ssh) => fast(ssh, "fastGet", ...words),
    forward: (ssh) => forward(ssh, ...words),
  };
  const clients = await connected(JSON.parse(route));
  const code = await verbs[verb](clients[0]);
  clients.forEach((client) => client.end());
  return code;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    process.stderr.write(`${error}\n`);
    process.exitCode = 255;
  },
);
