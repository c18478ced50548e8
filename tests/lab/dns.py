"""The lab's name server: answers from a table that is read anew for every question.

Lines are `name TYPE value` with TYPE A, CNAME or TXT, and `!mode answer|servfail|silent|lie`.
"""

import socket
import struct
import sys

TYPES = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}
OK, SERVFAIL, NXDOMAIN = 0, 2, 3


def read_table(path):
    mode, records = "answer", []
    with open(path, encoding="utf-8") as table:
        for line in table:
            words = line.split(None, 2)
            if len(words) >= 2 and words[0] == "!mode":
                mode = words[1]
            elif len(words) == 3:
                records.append((words[0].lower().rstrip("."), words[1], words[2].strip()))
    return mode, records


def encode_name(name):
    labels = [label for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def read_question(packet):
    labels, at = [], 12
    while packet[at]:
        size = packet[at]
        labels.append(packet[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += size + 1
    kind = struct.unpack("!H", packet[at + 1 : at + 3])[0]
    return ".".join(labels).lower(), NAMES.get(kind, "other"), packet[12 : at + 5]


def resolve(records, name, kind):
    """The answers, and whether the name exists at all. A CNAME is followed within the table."""
    answers, known = [], False
    for _ in range(8):
        here = [record for record in records if record[0] == name]
        known = known or bool(here)
        answers += [record for record in here if record[1] == kind]
        alias = next((record for record in here if record[1] == "CNAME"), None)
        if alias is None or kind == "CNAME":
            break
        answers.append(alias)
        name = alias[2].lower().rstrip(".")
    return answers, known


def encode_answer(record):
    name, kind, value = record
    if kind == "A":
        data = socket.inet_aton(value)
    elif kind == "CNAME":
        data = encode_name(value)
    else:
        text = value.encode()
        data = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, max(len(text), 1), 255))
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, 5, len(data)) + data


def reply(packet, path):
    name, kind, question = read_question(packet)
    mode, records = read_table(path)
    if mode == "silent":
        return None
    answers, known = resolve(records, name, kind)
    if mode == "lie":
        answers, known = ([(name, "A", "198.51.100.7")] if kind == "A" else []), True
    code = SERVFAIL if mode == "servfail" else (OK if known else NXDOMAIN)
    if code:
        answers = []
    flags = 0x8400 | (struct.unpack("!H", packet[2:4])[0] & 0x0100) | 0x0080 | code
    head = packet[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0)
    return head + question + b"".join(encode_answer(record) for record in answers)


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("0.0.0.0", 53))
    print("listening", flush=True)
    while True:
        packet, sender = server.recvfrom(4096)
        try:
            answer = reply(packet, sys.argv[1])
        except (IndexError, OSError, ValueError, struct.error):
            continue
        if answer:
            server.sendto(answer, sender)


main()
