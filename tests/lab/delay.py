# The wire between a host and the lab's switch, made long: two TAP devices, and every frame waits on its way from one to the other.
# Arguments: name of the end at the switch, network namespace of the host, round trip in milliseconds. Says "ready" when it is laid.
# A TAP device offers the kernel no offloads, so frames are whole, with checksums, and no longer than the MTU.
import collections, fcntl, os, select, struct, subprocess, sys, time

TUNSETIFF, TAP, NO_INFO = 0x400454CA, 0x0002, 0x1000


def tap(name):
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP | NO_INFO))
    # Frames that come in a burst wait here until they are read.
    subprocess.run(["ip", "link", "set", name, "txqueuelen", "20000"], check=True)
    return end


near, namespace, milliseconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
one_way = milliseconds / 2000
far = near + "-far"
ends = [tap(near), tap(far)]
subprocess.run(["ip", "link", "set", far, "netns", namespace, "name", "eth0"], check=True)
print("ready", flush=True)

waiting = [collections.deque(), collections.deque()]
while True:
    now = time.monotonic()
    due = min((queue[0][0] for queue in waiting if queue), default=now + 60)
    ready, _, _ = select.select(ends, [], [], max(0, due - now))
    now = time.monotonic()
    for side in (0, 1):
        if ends[side] in ready:
            try:
                for _ in range(64):
                    waiting[side].append((now + one_way, os.read(ends[side], 65536)))
            except BlockingIOError:
                pass
        queue = waiting[side]
        while queue and queue[0][0] <= now:
            try:
                os.write(ends[1 - side], queue.popleft()[1])
            except OSError:
                # An interface that is down takes nothing: lost, as on a wire that is cut.
                pass
