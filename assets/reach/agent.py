# Listens and tries paths for the preflight of mosip-setup. Arguments: marker, address to listen on, seconds to live, ports (t443,u8472).
# Answers on stdout; commands on stdin: "go SECONDS ID:KIND:ADDRESS:PORT ...". Ends when stdin does, or when its time is up.
import errno, os, select, socket, sys, time
mark, address, life, wanted = sys.argv[1:5]
size = 4096
out = []

def put(key, value):
    out.append("%s %s=%s\n" % (mark, key, value))

def flush():
    if out:
        data = "".join(out).encode()
        del out[:]
        while data:
            data = data[os.write(1, data):]

try:
    with open("/proc/self/comm", "w") as name:
        name.write("mosip-preflight")
except Exception:
    pass

def owners(words):
    # Who listens already; only asked where somebody does.
    found = {}
    try:
        for line in os.popen("ss -Hlntup 2>/dev/null"):
            part = line.split()
            if len(part) > 4 and '(("' in line:
                found[part[0][0] + part[4].rsplit(":", 1)[1]] = line.split('(("')[1].split('"')[0]
    except Exception:
        pass
    return found

listeners, taken, end = {}, [], time.monotonic() + float(life)
poll = select.poll()
for word in [word for word in wanted.split(",") if word]:
    tcp, port = word[0] == "t", int(word[1:])
    for place in (address, ""):
        try:
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
            if tcp:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((place, port))
            if tcp:
                one.listen(256)
            one.setblocking(False)
            listeners[one.fileno()] = (one, tcp)
            poll.register(one, select.POLLIN)
            put("listen", word + " bound")
        except OSError as error:
            one.close()
            if error.errno == errno.EADDRNOTAVAIL and place:
                continue
            if error.errno == errno.EADDRINUSE:
                taken.append(word)
            elif error.errno == errno.EACCES:
                put("listen", word + " no-sudo")
            else:
                put("listen", "%s failed %s" % (word, error.strerror))
        break
if taken:
    known = owners(taken)
    for word in taken:
        put("listen", "%s busy %s" % (word, known.get(word, "")))
put("ready", 1)
flush()

calls, tries, waiting, commands, patience, ended = {}, {}, [], b"", 3.0, False
refusals = (errno.ECONNREFUSED, errno.ECONNRESET)

def close(number):
    poll.unregister(number)
    one = tries.pop(number)
    one["socket"].close()
    return one

def done(number, result):
    put("path", "%s %s" % (close(number)["id"], result))

def failed(code):
    if code in refusals:
        return "refused"
    if code == errno.ETIMEDOUT:
        return "silent"
    return "unreachable " + os.strerror(code)

def begin(words):
    ident, kind, host, port = words.split(":")
    now = time.monotonic()
    one = {"id": ident, "kind": kind, "begun": now, "next": now, "left": patience, "sent": 0, "open": False}
    try:
        one["socket"] = s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "u" else socket.SOCK_STREAM)
        s.setblocking(False)
        code = s.connect_ex((host, int(port)))
    except OSError as error:
        put("path", "%s untried %s" % (ident, error.strerror))
        return
    if code not in (0, errno.EINPROGRESS):
        s.close()
        put("path", "%s %s" % (ident, failed(code)))
        return
    tries[s.fileno()] = one
    poll.register(s, select.POLLIN if kind == "u" else select.POLLOUT)

def resend(number, one, now):
    # A datagram may be lost once; it is sent again after 0.3, 0.6, 1.2 seconds.
    one["sent"] += 1
    one["next"] = now + 0.15 * 2 ** one["sent"]
    try:
        one["socket"].send(mark.encode())
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
            done(number, failed(error.errno))

def advance(number, one):
    s, now = one["socket"], time.monotonic()
    took = int((now - one["begun"]) * 1000)
    try:
        if one["kind"] == "u":
            s.recv(2048)
            done(number, "open %d" % took)
            return
        if not one["open"]:
            code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                done(number, failed(code))
            elif one["kind"] == "t":
                done(number, "open %d" % took)
            else:
                one["open"], one["begun"], one["left"] = True, now, patience * 2
                one["data"] = b"x" * size
        if one["kind"] == "m" and number in tries:
            if one["data"]:
                one["data"] = one["data"][s.send(one["data"]):]
                if not one["data"]:
                    poll.modify(number, select.POLLIN)
            elif s.recv(1):
                done(number, "mtu %d" % s.getsockopt(socket.IPPROTO_IP, 14))
            else:
                done(number, "untried what listens there is not ours")
    except OSError as error:
        if error.errno != errno.EAGAIN:
            done(number, "untried what listens there is not ours" if one["open"] else failed(error.errno))

def late(number, one):
    if one["kind"] == "m" and one["open"]:
        try:
            known = one["socket"].getsockopt(socket.IPPROTO_IP, 14)
        except OSError:
            known = 0
        done(number, "stalled %d" % known)
    else:
        done(number, "silent")

def serve(number):
    one, tcp = listeners[number]
    try:
        if tcp:
            call = one.accept()[0]
            call.setblocking(False)
            calls[call.fileno()] = [call, 0]
            poll.register(call, select.POLLIN)
        else:
            data, sender = one.recvfrom(2048)
            if data == mark.encode():
                one.sendto(data, sender)
    except OSError:
        pass

def hear(number):
    call = calls[number]
    try:
        data = call[0].recv(65536)
        call[1] += len(data)
        if data and call[1] == size:
            call[0].send(b"k")
    except OSError:
        data = b""
    if not data:
        poll.unregister(number)
        call[0].close()
        del calls[number]

poll.register(0, select.POLLIN)
while time.monotonic() < end:
    while waiting and len(tries) < 400:
        begin(waiting.pop())
    now = time.monotonic()
    for number, one in list(tries.items()):
        if now - one["begun"] >= one["left"]:
            late(number, one)
        elif one["kind"] == "u" and now >= one["next"]:
            resend(number, one, now)
    if ended is None and not tries and not waiting:
        put("paths", "done")
        ended = True
    flush()
    moments = [end] + [min(one["begun"] + one["left"], one["next"] if one["kind"] == "u" else end) for one in tries.values()]
    for number, event in poll.poll(max(1, (min(moments) - time.monotonic()) * 1000)):
        if number == 0:
            data = os.read(0, 65536)
            if not data:
                sys.exit(0)
            commands += data
            while b"\n" in commands:
                line, commands = commands.split(b"\n", 1)
                words = line.decode().split()
                if words and words[0] == "go":
                    patience, waiting, ended = float(words[1]), words[:1:-1], None
        elif number in listeners:
            serve(number)
        elif number in calls:
            hear(number)
        elif number in tries:
            advance(number, tries[number])
