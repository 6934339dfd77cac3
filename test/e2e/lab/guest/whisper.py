"""Stands in for whisper: answers on port 7860, as the image that the operator brings would.

whisper.py [SOCKET]: on a unix socket instead, if one is named.
"""

import http.server
import os
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def read_body(self):
        """How many bytes it had: of a known length, or in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        total = 0
        while chunk := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(chunk))
            self.rfile.readline()
        self.rfile.readline()
        return total

    def answer(self):
        size = self.read_body()
        body = f"whisper heard {self.command} {self.path} {size}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


if len(sys.argv) > 1:
    path = sys.argv[1]
    if os.path.exists(path):
        os.unlink(path)
    server = UnixServer(path, Handler)
    os.chmod(path, 0o666)
else:
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 7860), Handler)
server.serve_forever()
