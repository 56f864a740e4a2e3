"""A TLS server with OpenBao's own certificate that answers what a test wants."""

import http.server
import ssl
import threading

from support.openbao import OpenBaoServer

SILENCE = 0  # in place of a status: no answer at all
_SECONDS = 30


class _Recorder(http.server.BaseHTTPRequestHandler):
    """Answers each request as the server's `answer` says, and keeps its headers."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Impostor)
        server.seen.append(dict(self.headers))
        status, headers, body = server.answer
        if status == SILENCE:
            server.over.wait(_SECONDS)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Impostor(http.server.ThreadingHTTPServer):
    """A server with the certificate of OpenBao that answers what a test wants."""

    def __init__(self, server: OpenBaoServer, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), _Recorder)
        self.seen: list[dict[str, str]] = []
        self.over = threading.Event()
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.layout.certificate, server.layout.certificate_key)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()
        return f"https://{host}:{port}"
