"""Tries to get out ten times a second, for as long as it runs, and writes down what left.

    tries.py LOG

A datagram that the kernel takes has left the namespace, whether or not anybody answers. Each line of
LOG is one that did; the last words are how often it tried.
"""

import signal
import socket
import sys
import time

TARGETS = [("10.89.77.1", 53), ("1.1.1.1", 53), ("10.89.77.2", 54), ("255.255.255.255", 9)]
log = open(sys.argv[1], "a", buffering=1)
rounds = 0


def end(*_):
    print(f"rounds {rounds}", file=log)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
while True:
    for target in TARGETS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            try:
                probe.sendto(b"out?", target)
                print(f"{time.time():.1f} OPEN {target[0]}:{target[1]}", file=log)
            except OSError:
                pass
    rounds += 1
    if rounds % 10 == 0:
        print(f"{time.time():.1f} closed so far, round {rounds}", file=log)
    time.sleep(0.1)
