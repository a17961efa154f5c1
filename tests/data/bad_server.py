"""A server on the loopback interface that serves a data root as its publishers do, and misbehaves
when asked.

    with Server(folder) as server:
        server.faults["/mitdb/1.0.0/100.dat"] = ["drop", "500"]  # one answer each
        server.faults["/mitdb/1.0.0/101.dat"] = ["404!"]  # always

`SHA256SUMS.txt` and listings of folders are made from what lies there, unless a file of that name
does. `server.seen` holds every request: path and first byte asked for.
"""

import hashlib
import http.server
import random
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

PART = 1 << 18


def made_up(root, slug="ctu-uhb-ctgdb", version="1.0.0", records=6, size=40_000, seed=0):
    "Records of random bytes in the layout of CTU-UHB below a folder; returns the folder of them."
    rng = random.Random(seed)
    folder = Path(root) / slug / version
    folder.mkdir(parents=True, exist_ok=True)
    names = [str(1001 + i) for i in range(records)]
    for name in names:
        (folder / f"{name}.dat").write_bytes(rng.randbytes(size + rng.randrange(1000)))
        (folder / f"{name}.hea").write_bytes(f"{name} 2 4 10000\n".encode())
    (folder / "RECORDS").write_text("".join(f"{name}\n" for name in names))
    return folder


def sums_of(folder):
    "Text of a SHA256SUMS.txt as PhysioNet writes it."
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and "SHA256SUMS" not in p.name)
    lines = (
        f"{hashlib.sha256(p.read_bytes()).hexdigest()} {p.relative_to(folder).as_posix()}\n"
        for p in files
    )
    return "".join(lines)


def listing_of(folder):
    "A page that lists a folder, as nginx writes it."
    rows = ['<a href="../">../</a>']
    for p in sorted(Path(folder).iterdir()):
        name = f"{p.name}/" if p.is_dir() else p.name
        size = "-" if p.is_dir() else p.stat().st_size
        rows.append(f'<a href="{name}">{name}</a>   01-Jan-2020 00:00   {size}')
    return "<html><body><h1>Index</h1><pre>" + "\n".join(rows) + "</pre></body></html>"


def is_database(folder):
    "Whether a folder is that of a version, or of a database without versions."
    named = folder.name == "hc18" or re.fullmatch(r"[\d.]+", folder.name) is not None
    return folder.is_dir() and (named or (folder / "RECORDS").is_file())


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_CONNECT(self):
        "As a proxy for https: a tunnel to this machine, whatever the name."
        self.server.owner.proxied.append(self.path)
        port = int(self.path.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as other:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            threading.Thread(target=pump, args=(self.connection, other), daemon=True).start()
            pump(other, self.connection)
        self.close_connection = True

    def do_GET(self):
        owner = self.server.owner
        whole = urlsplit(self.path)
        if whole.netloc:  # as a proxy
            owner.proxied.append(self.path)
        path = unquote(whole.path)
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        owner.seen.append((path, start))
        body = owner.content(path)
        fault = owner.next_fault(path)
        if fault:
            getattr(self, f"do_{fault.partition(':')[0]}", self.status)(fault, path, body, start)
        elif body is None:
            self.status("404", path, body, start)
        else:
            self.send(body, start)

    def head(self, code, length, **headers):
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, body, start, length=None, upto=None, wait=0.0):
        "The body from a byte on; `length` is what the header says, `upto` where it stops."
        if start and start >= len(body):
            return self.head(416, 0, Content_Range=f"bytes */{len(body)}")
        rest = memoryview(body)[start:]
        extra = {}
        if start:
            extra["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.head(206 if start else 200, len(rest) if length is None else length, **extra)
        rest = rest[:upto]
        rate = self.server.owner.rate
        for at in range(0, len(rest), PART if not rate else 1 << 14):
            part = rest[at : at + (PART if not rate else 1 << 14)]
            self.wfile.write(part)
            if rate:
                self.server.owner.throttle(len(part))
        self.wfile.flush()
        if wait:
            self.server.owner.released.wait(wait)
        if upto is not None:
            self.close_connection = True

    # One method a fault.
    def status(self, fault, path, body, start):
        code = int(fault)
        extra = {"Retry_After": "1"} if code in (429, 503) else {}
        self.head(code, 5, **extra)
        self.wfile.write(b"sorry")

    def do_drop(self, fault, path, body, start):
        self.send(body, start, upto=max(1, (len(body) - start) // 2))

    def do_stall(self, fault, path, body, start):
        self.send(body, start, upto=max(1, (len(body) - start) // 2), wait=20)

    def do_drip(self, fault, path, body, start):
        self.head(200, len(body))
        for i in range(1000):
            if self.server.owner.released.wait(0.05):
                break
            self.wfile.write(body[i : i + 1])
            self.wfile.flush()
        self.close_connection = True

    def do_truncated(self, fault, path, body, start):
        self.send(body[: len(body) // 2], 0)

    def do_longer(self, fault, path, body, start):
        self.send(body + bytes(5000), 0)

    def do_short(self, fault, path, body, start):  # fewer bytes than its header says
        self.send(body, start, length=len(body) - start + 777)
        self.close_connection = True

    def do_wrong(self, fault, path, body, start):
        self.send(bytes(len(body)), start)

    def do_unranged(self, fault, path, body, start):  # the whole file, whatever was asked for
        self.send(body, 0)

    def do_shifted(self, fault, path, body, start):  # another range than the one asked for
        self.send(body, max(1, start // 2))

    def do_login(self, fault, path, body, start):
        page = b"<html><body>Please log in to the network</body></html>"
        self.head(200, len(page), Content_Type="text/html")
        self.wfile.write(page)

    def do_redirect(self, fault, path, body, start):
        "redirect:ADDRESS, with the path behind it."
        self.head(302, 0, Location=fault.partition(":")[2] + path)

    def do_loop(self, fault, path, body, start):
        self.head(302, 0, Location=path)


def pump(a, b):
    "Everything from one socket to the other."
    try:
        while part := a.recv(1 << 16):
            b.sendall(part)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass  # a client that hangs up is what is tested


class Server:
    "The server; `rate` limits all answers together (bytes/s)."

    def __init__(self, root, rate=0, certificate=None):
        self.root, self.rate = Path(root), rate
        self.faults, self.seen, self.proxied = {}, [], []
        self.bodies = {}  # path -> bytes that are served in place of a file
        self.lock, self.released = threading.Lock(), threading.Event()
        self.free_at = 0.0
        self.http = Quiet(("127.0.0.1", 0), Answer)
        self.http.owner = self
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.scheme = "https"
        self.port = self.http.server_address[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def throttle(self, n):
        with self.lock:
            now = time.monotonic()
            self.free_at = max(now - 0.02, self.free_at) + n / self.rate
            wait = self.free_at - now
        if wait > 0:
            time.sleep(wait)

    def next_fault(self, path):
        with self.lock:
            waiting = self.faults.get(path) or []
            if not waiting:
                return ""
            if waiting[0].endswith("!"):
                return waiting[0][:-1]
            return waiting.pop(0)

    def content(self, path):
        "What lies behind a path; None: nothing."
        if path in self.bodies:
            return self.bodies[path]
        at = self.root / path.strip("/")
        if at.is_file():
            return at.read_bytes()
        if at.name == "SHA256SUMS.txt" and is_database(at.parent):
            self.bodies[path] = sums_of(at.parent).encode()
            return self.bodies[path]
        if at.is_dir() and path.endswith("/"):
            return listing_of(at).encode()
        return None


def certificate(folder, *names):
    "Files of a certificate for names of this machine, signed by itself, and of its key."
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.datetime.now(datetime.UTC)
    others = [x509.DNSName(n) for n in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(others), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = Path(folder) / "cert.pem", Path(folder) / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return paths


def shown(text, **folders):
    "A message for a page: addresses of this machine and folders by name; folders: NAME=path."
    text = str(text)
    for name, path in folders.items():
        text = text.replace(str(path), name)
    text = re.sub(r"https?://127\.0\.0\.1(:\d+)?", "MIRROR", text)
    text = re.sub(r"https?://localhost(:\d+)?", "OTHER", text)
    text = re.sub(r"127\.0\.0\.1(:\d+)?", "mirror", text)
    return re.sub(r"localhost(:\d+)?", "other", text)
