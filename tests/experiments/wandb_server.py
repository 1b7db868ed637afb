"""A server on this machine that keeps what W&B's client sends: the few requests that `wandb sync` and a run make."""

import gzip
import http.server
import json
import re
import threading
from collections import defaultdict
from contextlib import contextmanager


class Kept:
    """What has arrived of each run: rows of its history, its files, its configuration and its summary."""

    def __init__(self):
        self.history = defaultdict(list)
        self.files = defaultdict(list)
        self.config = defaultdict(dict)
        self.summary = defaultdict(dict)
        self.names = {}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as W&B's server does, as far as its client cares."""

    protocol_version = "HTTP/1.1"
    kept: Kept
    refuses = False

    def log_message(self, *words):
        pass

    def reply(self, answer, status=200):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        data = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def do_GET(self):
        self.reply({})

    def do_PUT(self):
        _, _, run, name = self.path.split("/", 3)
        self.body()
        self.kept.files[run].append(name)
        self.reply({})

    def do_POST(self):
        body = self.body()
        if self.refuses:
            self.reply({"errors": [{"message": "unauthorised"}]}, 401)
        elif self.path.endswith("/file_stream"):
            self.receive(self.path.split("/")[-2], json.loads(body).get("files") or {})
            self.reply({})
        elif self.path.endswith("/graphql"):
            asked = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"]).group(1)
            given = asked.get("variables") or {}
            if name == "UpsertBucket" and given.get("entity") not in (None, "", "me"):
                sentence = f"entity {given['entity']} not found during upsertBucket"
                self.reply({"errors": [{"message": sentence, "path": ["upsertBucket"]}], "data": None}, 404)
            else:
                self.reply({"data": self.answer(name, given)})
        else:
            self.reply({})

    def receive(self, run, files):
        if "wandb-history.jsonl" in files:
            part = files["wandb-history.jsonl"]
            del self.kept.history[run][part["offset"] :]
            self.kept.history[run] += map(json.loads, part["content"])
        if "wandb-summary.json" in files:
            self.kept.summary[run] = json.loads(files["wandb-summary.json"]["content"][-1])

    def answer(self, name, given):
        run = given.get("run") or given.get("name")
        project = {"id": "P", "name": given.get("project"), "entity": {"id": "E", "name": "me"}}
        here = f"http://{self.headers['Host']}/up"
        if name == "UpsertBucket":
            self.kept.config[run] |= json.loads(given.get("config") or "{}")
            self.kept.names.setdefault(run, (given.get("groupName"), given.get("displayName")))
            lines = len(self.kept.history[run])
            bucket = {"id": run, "name": run, "displayName": run, "description": "", "config": "{}", "sweepName": None}
            return {
                "upsertBucket": {
                    "bucket": bucket | {"project": project, "historyLineCount": lines},
                    "inserted": not lines,
                }
            }
        if name == "RunResumeStatus":
            rows = self.kept.history.get(run)
            bucket = {
                "id": run,
                "name": run,
                "displayName": run,
                "config": json.dumps(self.kept.config[run]),
                "summaryMetrics": json.dumps(self.kept.summary[run]),
                "logLineCount": 0,
                "eventsLineCount": 0,
                "historyLineCount": len(rows or []),
                "historyTail": json.dumps([json.dumps(row) for row in (rows or [])[-1:]]),
                "eventsTail": "[]",
                "tags": [],
                "wandbConfig": "{}",
            }
            return {"model": project | {"bucket": bucket if rows else None}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{here}/{run}/{file}"} for file in given["files"]]
            return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            artifact = {"id": given["input"]["runName"], "state": "PENDING"}
            return {"createArtifact": {"artifact": artifact | {"artifactSequence": {"latestArtifact": None}}}}
        if name == "CreateArtifactManifest":
            file = {"id": "F", "name": "", "displayName": "", "uploadHeaders": []}
            file["uploadUrl"] = f"{here}/{given['runName']}/manifest"
            return {"createArtifactManifest": {"artifactManifest": {"id": "M", "file": file}}}
        if name == "CreateArtifactFiles":
            files = [
                {"id": "F", "name": wanted["name"], "displayName": wanted["name"], "uploadHeaders": []}
                | {"storagePath": "", "uploadMultipartUrls": None, "artifact": {"id": wanted["artifactID"]}}
                | {"uploadUrl": f"{here}/{wanted['artifactID']}/{wanted['name']}"}
                for wanted in given["input"]["artifactFiles"]
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": file} for file in files]}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": ""}}}
        if name == "Viewer":
            return {"viewer": {"id": "U", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        return {}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up has got what it wanted."""


@contextmanager
def serving(refuses=False):
    """Yields the server's address and what it has been sent.

    Args:
        refuses: Whether it answers every key with 401.
    """
    kept = Kept()
    handler = type("Own", (Handler,), {"kept": kept, "refuses": refuses})
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", kept
        finally:
            server.shutdown()
            thread.join()
