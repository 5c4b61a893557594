"""An application on wsgiref and one on http.server that read their requests in
the ways that Python programs do, and run the login of every reading that names it."""

import posixpath
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


def compare(reading, read, exact="exact"):
    try:
        path = read()
    except ValueError:
        return []
    ran = []
    if path == "/login":
        ran.append(f"{reading}:{exact}")
    if path == "/login" or path.startswith("/login/"):
        ran.append(reading + ":under")
    if path.startswith("/login"):
        ran.append(reading + ":begins")
    if path.lower() == "/login" and exact == "exact":
        ran.append(reading + ":fold")
    return ran


def query(text):
    ran = []
    for separator in "&;":
        try:
            pairs = parse_qs(text, separator=separator, max_num_fields=100000)
        except ValueError:
            continue
        for name in ("action", "do_action"):
            if "login" in pairs.get(name, []):
                ran.append(f"parse_qs {separator}:{name}")
        for method in pairs.get("_method", [])[-1:]:
            ran.append(f"_method:{method.upper()}")
    return ran


def host(name):
    name = name.lower().strip().split(":")[0]
    return ["host:host"] if name.removesuffix(".") == "login.example.com" else []


def application(environ, start_response):
    path = environ["PATH_INFO"]
    ran = compare("PATH_INFO", lambda: path)
    ran += compare("normpath", lambda: "/" + posixpath.normpath(path).lstrip("/"), "trimmed")
    ran += compare("merged", lambda: "/" + "/".join(part for part in path.split("/") if part), "trimmed")
    ran += query(environ["QUERY_STRING"])
    ran.append("method:" + environ["REQUEST_METHOD"].upper())
    for name in ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE"):
        if name in environ:
            ran.append(f"{name}:{environ[name].upper()}")
    for name in ("HTTP_X_ORIGINAL_URL", "HTTP_X_REWRITE_URL"):
        if name in environ:
            ran += compare(name, lambda: unquote(environ[name].split("?")[0]))
    ran += host(environ.get("HTTP_HOST", ""))
    start_response("200 OK", [("Content-Length", "0"), ("Login", printable(ran))])
    return [b""]


def printable(ran):
    return "".join(c if " " <= c <= "~" else "?" for c in ", ".join(ran))


class ThreadingWSGIServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class QuietWSGIHandler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def login(self):
        ran = compare("path", lambda: self.path.split("?")[0])
        ran += compare("urlsplit", lambda: urlsplit(self.path).path)
        ran += compare("unquoted", lambda: unquote(urlsplit(self.path).path))
        ran += query(self.path.partition("?")[2])
        ran.append("method:" + self.command.upper())
        ran += host(self.headers.get("Host", ""))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("Login", printable(ran))
        self.end_headers()

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = login

    def log_message(self, *args):
        pass


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if sys.argv[1] == "wsgiref":
    server = ThreadingWSGIServer(("127.0.0.1", 0), QuietWSGIHandler)
    server.set_app(application)
else:
    server = QuietServer(("127.0.0.1", 0), Handler)
print("listening on", server.server_address[1], flush=True)
server.serve_forever()
