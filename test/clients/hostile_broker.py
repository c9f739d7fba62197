"""A Kafka broker that means harm: it takes any login for wrong, and says so in words that should reach nobody as they are.

Usage: hostile_broker.py FILE. Listens on 127.0.0.1 and writes its port into the file. Each login is refused with other words, which hold
control characters, bytes that are no UTF-8, and more than anybody wants to read.
"""
import itertools
import os
import socket
import struct
import sys
import threading

APIS = {0: (0, 7), 1: (0, 11), 2: (0, 2), 3: (0, 4), 17: (0, 1), 18: (0, 3), 22: (0, 1), 36: (0, 1)}
ANSWERS = itertools.count(1)


def string(data):
    return struct.pack(">h", len(data)) + data


def versions(version):
    if version < 3:
        apis = b"".join(struct.pack(">hhh", key, *limits) for key, limits in APIS.items())
        return struct.pack(">hi", 0, len(APIS)) + apis + (struct.pack(">i", 0) if version else b"")
    apis = b"".join(struct.pack(">hhhB", key, *limits, 0) for key, limits in APIS.items())
    return struct.pack(">hB", 0, len(APIS) + 1) + apis + struct.pack(">iB", 0, 0)


def refusal(version):
    words = b"number %d\r\nLOG:  forged line\x1b[31m\x7f\xff\xfe\xc3(\x80 " % next(ANSWERS) + b"x" * 20000
    return struct.pack(">h", 58) + string(words) + struct.pack(">i", 0) + (struct.pack(">q", 0) if version else b"")


def serve(connection):
    with connection, connection.makefile("rb") as requests:
        while True:
            head = requests.read(4)
            if len(head) < 4:
                return
            request = requests.read(struct.unpack(">i", head)[0])
            key, version, correlation = struct.unpack(">hhi", request[:8])
            if key == 18:
                body = versions(version)
            elif key == 17:
                body = struct.pack(">hi", 0, 2) + string(b"PLAIN") + string(b"SCRAM-SHA-512")
            elif key == 36:
                body = refusal(version)
            else:
                return
            connection.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)


def main():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(str(server.getsockname()[1]))
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        while True:
            threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


main()
