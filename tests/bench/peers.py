# SPDX-License-Identifier: MIT
"""The same handler behind other servers, for `make bench` to stand beside: a bare HTTP server of node, and
serverless-offline from npm (MIT), where it can be installed. Each answers Lambda's Invoke path, so one load tool
asks all of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

PAGE = "/2015-03-31/functions/{}/invocations"
START_S = 120
NPM = ["serverless@3.39.0", "serverless-offline@8.8.1"]  # the last that run on Debian 12's node without an account

NODE_HANDLER = "exports.handler = async (event) => ({ hello: event });\n"
PYTHON_HANDLER = 'def handler(event, context):\n    return {"hello": event}\n'

BARE_SERVER = """
const { handler } = require('./app.js');
const server = require('http').createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', async () => {
        const text = JSON.stringify(await handler(JSON.parse(Buffer.concat(parts))));
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
        response.end(text);
    });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
"""

OFFLINE = """
service: bench
frameworkVersion: '3'
provider: {{name: aws, runtime: nodejs16.x}}
plugins: [serverless-offline]
functions: {{hello: {{handler: app.handler}}}}
custom:
  serverless-offline: {{lambdaPort: {port}, httpPort: {http_port}, host: 127.0.0.1}}
"""


class Peer:
    """A server in a process group of its own. `endpoint` and `function` are for bench_invoke."""

    def __init__(self, name, process, endpoint, function):
        self.name, self.process, self.endpoint, self.function = name, process, endpoint, function

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def free_ports(count):
    import socket
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def bare_node(directory):
    """A bare HTTP server around the handler; None without node."""
    node = shutil.which("node")
    if not node:
        return None
    folder = Path(directory) / "bare"
    folder.mkdir()
    (folder / "app.js").write_text(NODE_HANDLER)
    (folder / "server.js").write_text(BARE_SERVER)
    process = subprocess.Popen([node, "server.js"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    endpoint = process.stdout.readline().strip()
    if not re.match(r"http://127\.0\.0\.1:\d+$", endpoint):
        process.kill()
        process.wait()
        return None
    return Peer("node behind a bare HTTP server", process, endpoint, "hello")


def install_offline(cache):
    """npm install into `cache`, once. None when npm is missing or cannot."""
    folder = Path(cache) / "serverless-offline"
    if (folder / ".complete").exists():
        return folder
    npm = shutil.which("npm")
    if not npm:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    done = subprocess.run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps",
                           "--fetch-retries=1", "--cache", folder / "npm-cache", *NPM], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True)
    shutil.rmtree(folder / "npm-cache", ignore_errors=True)
    if done.returncode != 0:
        return None
    (folder / ".complete").touch()
    return folder


def serverless_offline(directory, cache):
    """serverless-offline with the handler; None when it cannot be had."""
    modules = install_offline(cache)
    if modules is None:
        return None
    folder = Path(directory) / "offline"
    folder.mkdir()
    port, http_port = free_ports(2)
    (folder / "app.js").write_text(NODE_HANDLER)
    (folder / "serverless.yml").write_text(OFFLINE.format(port=port, http_port=http_port))
    (folder / "node_modules").symlink_to((modules / "node_modules").resolve())
    env = dict(os.environ, SLS_TELEMETRY_DISABLED="1", SLS_NOTIFICATIONS_MODE="off", CI="1", HOME=str(folder))
    process = subprocess.Popen(["node_modules/.bin/serverless", "offline"], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    peer = Peer("serverless-offline", process, f"http://127.0.0.1:{port}", "bench-dev-hello")
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            request = urllib.request.Request(peer.endpoint + PAGE.format(peer.function), data=b"{}", method="POST")
            with urllib.request.urlopen(request, timeout=START_S) as answer:
                if json.load(answer) == {"hello": {}}:
                    return peer
        except (urllib.error.URLError, OSError, ValueError):
            time.sleep(0.2)
    peer.stop()
    return None
