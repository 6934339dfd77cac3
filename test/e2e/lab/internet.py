"""What plays the internet beside a lab: every address and port of one network namespace answers.

    internet.py LOG CERTIFICATE

HTTP on port 80, TLS on 443, echo over TCP and UDP on others. GET /NUMBER is answered with so many
bytes. Each line of LOG is what reached it: the protocol, the address and port that were asked for, who
asked, and the first bytes in hex (with TLS, once as they came, and once as they read).
"""

import re
import socket
import ssl
import sys
import threading

LOG, CERTIFICATE = open(sys.argv[1], "a", buffering=1), sys.argv[2]
TCP_PORTS = [22, 80, 443, 5000, 8080]
UDP_PORTS = [80, 123, 443, 5000, 33434]
HELLO = b"hello from the internet\n"


def note(protocol, local, peer, data):
    print(protocol, f"{local[0]}:{local[1]}", peer[0], data[:200].hex(), file=LOG)


def answer(request):
    size = re.match(rb"GET /(\d+) ", request)
    body = b"." * int(size[1]) if size else HELLO
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def serve(connection, peer, context):
    local = connection.getsockname()
    try:
        connection.settimeout(10)
        note("syn", local, peer, b"")
        if context:
            if first := connection.recv(200, socket.MSG_PEEK):
                note("tls", local, peer, first)
            connection = context.wrap_socket(connection, server_side=True)
        while data := connection.recv(65536):
            note("tcp", local, peer, data)
            connection.sendall(answer(data) if data[:4] in (b"GET ", b"HEAD", b"POST") else data)
    except OSError as error:
        note("tcp", local, peer, str(error).encode())
    finally:
        connection.close()


def listen(port, context):
    listener = socket.create_server(("", port), backlog=128)
    while True:
        threading.Thread(target=serve, args=(*listener.accept(), context), daemon=True).start()


def echo(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    while True:
        data, peer = server.recvfrom(65536)
        note("udp", server.getsockname(), peer, data)
        server.sendto(data, peer)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(CERTIFICATE)
for port in TCP_PORTS:
    threading.Thread(target=listen, args=(port, tls if port == 443 else None)).start()
for port in UDP_PORTS:
    threading.Thread(target=echo, args=(port,)).start()
