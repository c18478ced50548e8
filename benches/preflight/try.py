# What one would write by hand: listens, tries all targets at once, says what came back. Arguments: address, ports, targets, seconds.
import os, select, socket, sys, time
address, ports, targets, life = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(), float(sys.argv[4])
if ports != [""] and os.fork() == 0:
    os.setsid()
    for number in (0, 1, 2):
        os.close(number)
    tcp, udp = [], []
    for port in ports:
        kind = socket.SOCK_STREAM if port[0] == "t" else socket.SOCK_DGRAM
        one = socket.socket(socket.AF_INET, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, int(port[1:])))
        if port[0] == "t":
            one.listen(256)
            tcp.append(one)
        else:
            udp.append(one)
    calls = []
    end = time.time() + life
    while time.time() < end:
        for one in select.select(tcp + udp + calls, [], [], 1)[0]:
            if one in tcp:
                calls.append(one.accept()[0])
            elif one in udp:
                data, sender = one.recvfrom(2048)
                one.sendto(data, sender)
            else:
                data = one.recv(65536)
                if data:
                    one.send(data[-1:])
                else:
                    one.close()
                    calls.remove(one)
    os._exit(0)
waiting = [target.split(":") for target in targets]
end = time.time() + 8
while waiting and time.time() < end:
    tries, again = {}, []
    for kind, host, port in waiting:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "u" else socket.SOCK_STREAM)
        one.setblocking(False)
        one.connect_ex((host, int(port)))
        tries[one] = (kind, host, port)
        if kind == "u":
            try:
                one.send(b"x")
            except OSError:
                pass
    until = time.time() + 1
    while tries and time.time() < until:
        reads = [one for one, what in tries.items() if what[0] == "u" or what[0] == "M"]
        writes = [one for one in tries if one not in reads]
        readable, writable, _ = select.select(reads, writes, [], max(0, until - time.time()))
        for one in readable + writable:
            kind, host, port = what = tries.pop(one)
            code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0 and kind == "m":
                one.setblocking(True)
                one.sendall(b"x" * 8192)
                tries[one] = ("M", host, port)
                continue
            if code == 0:
                try:
                    if kind in "uM":
                        one.recv(65536)
                    print("open", *what)
                    continue
                except OSError:
                    pass
            again.append(("m" if kind == "M" else kind, host, port))
    again += [("m" if what[0] == "M" else what[0],) + what[1:] for what in tries.values()]
    waiting = again
    if waiting:
        # Its listener may not be there yet.
        time.sleep(0.05)
for what in waiting:
    print("closed", *what)
