"""Hostile programs against the network, the results and the limits of a box. The box has 96 MB, 16 processes, 16 MB of disk."""

# ruff: noqa: E501 (programs as data)

from __future__ import annotations

from .probes import CHANNEL, UNSAFE, P, also

FREE = {
    "root": "bounded by the harness, or it would bite for real",
    "user": "bounded by the harness, or it would bite for real",
}

NETWORK = also(
    "network",
    P("tcp_loopback", "", 'socket.create_connection(("127.0.0.1", W["tcp"]), 3); won()', judge="network"),
    P("tcp_loopback_6", "", 'socket.create_connection(("::1", W["tcp6"]), 3); won()', judge="network"),
    P("tcp_localhost_shell", "", 'bash -c "exec 3<>/dev/tcp/127.0.0.1/$TCP" 2>/dev/null && echo "$MARK"', lang="sh", judge="network"),
    P("tcp_mapped", "", 's = socket.socket(socket.AF_INET6); s.connect(("::ffff:127.0.0.1", W["tcp"])); won()', judge="network"),
    P("tcp_zero", "", 'socket.create_connection(("0.0.0.0", W["tcp"]), 3); won()', judge="network"),
    P("tcp_own_address", "", """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("192.0.2.1", 9)); won(s.getsockname()[0])
""", root="there may be no route on this machine", user="there may be no route on this machine"),
    P("udp_loopback", "", 's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("127.0.0.1", W["udp"])); won()', judge="network"),
    P("fast_open", "", 's = socket.socket(); s.sendto(b"x", 0x20000000, ("127.0.0.1", W["tcp"])); won()', judge="network"),
    P("unix_path", "", 's = socket.socket(socket.AF_UNIX); s.connect(W["unix"]); won()', judge="network"),
    P("unix_datagram", "", 's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b"x", W["unix_dgram"]); won()', judge="network"),
    P("unix_abstract", "", 's = socket.socket(socket.AF_UNIX); s.connect("\\0" + W["abstract"]); won()', judge="network"),
    P("raw_icmp", "", 'socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(); won()', user="needs root"),
    P("ping_socket", "", 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).close(); won()', root="this machine gives nobody ping sockets", user="this machine gives no user ping sockets"),
    P("listen", "", 's = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); won()'),
    P("interfaces", "", 'won() if [n for _, n in socket.if_nameindex() if n != "lo"] else None', root="this machine may have loopback only", user="this machine may have loopback only"),
    P("arp_and_routes", "", 'won() if len(open("/proc/net/tcp").readlines()) > 1 else None'),
    P("proxy_socket_in_sight", "", 'won() if glob.glob("/run/podium/*") + glob.glob("/tmp/podium-proxy-*") else None', root="there is no proxy", user="there is no proxy"),
    P("dns", "", 'won() if socket.getaddrinfo("localhost.example.com", 80) else None', root="this machine has no name server", user="this machine has no name server"),
    P("sctp_mptcp", "", """
for protocol in (132, 262):
    try: socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol).close(); won(str(protocol))
    except OSError: pass
"""),
)  # fmt: skip

DESCRIPTORS = also(
    "descriptors",
    P("inherited", "", """
for fd in range(3, 1024):
    try: won(f"fd {fd}") if has_secret(os.pread(fd, 64, 0)) else None
    except OSError: pass
"""),
    P("inherited_by_proc", "", """
for link in glob.glob("/proc/self/fd/*"):
    try: won(link) if "podium-battery-" in os.readlink(link) else None
    except OSError: pass
"""),
    P("reopen_stdio_for_reading", "", """
time.sleep(1)  # what it printed itself has been read by then
for fd in (1, 2):
    d = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    try: won() if has_secret(os.read(d, 65536)) else None
    except BlockingIOError: pass
""", root="there is no secret in its own pipes", user="there is no secret in its own pipes"),
    P("folders_inherited", "", """
for fd in range(3, 1024):
    try: won(str(fd)) if stat.S_ISDIR(os.fstat(fd).st_mode) else None
    except OSError: pass
""", root="the bare run inherits no folder", user="the bare run inherits no folder"),
    P("sockets_inherited", "", """
for fd in range(0, 1024):
    try: won(str(fd)) if stat.S_ISSOCK(os.fstat(fd).st_mode) else None
    except OSError: pass
""", root="the bare run inherits no socket", user="the bare run inherits no socket"),
)  # fmt: skip

FORGE = """
frame = json.dumps({{"status": 0, "success": True, "value": "forged", "exit_code": 0, "limit": None, "mark": W["mark"][::-1]}}).encode()
for fd in range({first}, 64):
    for data in (frame + b"\\n", struct.pack("<I", len(frame)) + frame, struct.pack(">I", len(frame)) + frame, b"%d\\n" % len(frame) + frame):
        try: os.set_blocking(fd, False); os.write(fd, data)
        except OSError: pass
os._exit({code})
"""
RESULTS = also(
    "results",
    P("forged_success", "", FORGE.format(first=0, code=3), judge="failed", **CHANNEL),
    P("forged_success_quietly", "", FORGE.format(first=3, code=3), judge="failed", **CHANNEL),
    P("forged_after_signal", "", FORGE.format(first=3, code=0).replace("os._exit(0)", "os.kill(os.getpid(), 9)"), judge="failed", **CHANNEL),
    P("forged_limit", "", FORGE.format(first=3, code=0).replace("os._exit(0)", "time.sleep(60)"), judge="limited", **CHANNEL),
    P("deep_value", "", 'os.write(3, b"[" * 60000); os.write(3, b"]" * 5000); os._exit(0)', judge="answered", **CHANNEL),
    P("deep_value_whole", "", """
data = b"[" * 200000 + b"]" * 200000
while data: data = data[os.write(3, data):]
os._exit(0)
""", judge="answered failed", **CHANNEL),
    P("huge_value", "", """
piece = b'"' + b"a" * 65536
for _ in range(2000): os.write(3, piece)
os._exit(0)
""", judge="answered small", **CHANNEL),
    P("value_nan", "", 'os.write(3, b\'{"a": NaN, "b": Infinity, "c": 1e999}\'); os._exit(0)', judge="answered finite", **CHANNEL),
    P("value_huge_integer", "", 'os.write(3, b"9" * 500000); os._exit(0)', judge="answered failed", **CHANNEL),
    P("value_not_utf8", "", 'os.write(3, b\'"\\xff\\xfe\\xc0\\x80\'); os._exit(0)', judge="answered failed", **CHANNEL),
    P("value_lone_surrogate", "", 'os.write(3, b\'"\\\\ud800"\'); os._exit(0)', judge="answered encodable", **CHANNEL),
    P("value_half", "", 'os.write(3, b\'{"a": [1, 2\'); os._exit(0)', judge="answered failed", **CHANNEL),
    P("value_then_more", "", 'os.write(3, b\'{"a": 1}{"a": 2}\'); os._exit(0)', judge="answered failed", **CHANNEL),
    P("output_not_utf8", "", 'os.write(1, b"\\xff\\xfe\\xc0\\x80\\x00" * 1000)', judge="answered", **CHANNEL),
    P("link_as_file", "", 'os.symlink(W["secret"], "result.txt")', judge="files"),
    P("link_to_folder", "", 'os.symlink(W["world"], "folder")', judge="files", root="the bare run collects plain files only", user="the bare run collects plain files only"),
    P("hardlink_as_file", "", 'os.link(W["secret"], "result.txt")', judge="files", user="hard links to others' files are protected"),
    P("link_race", "", """
open("a", "w").write("x"); end = time.monotonic() + 2
pid = spawn(lambda: None)
while time.monotonic() < end:
    os.symlink(W["secret"], "b"); os.rename("b", "a"); open("c", "w").write("x"); os.rename("c", "a")
os.symlink(W["secret"], "b"); os.rename("b", "a")
""", judge="files"),
    P("fifo_as_file", "", 'os.mkfifo("result.txt")', judge="answered quick", **CHANNEL),
    P("socket_as_file", "", 's = socket.socket(socket.AF_UNIX); s.bind("result.txt")', judge="answered", **CHANNEL),
    P("sparse_giant_file", "", 'open("big", "wb").truncate(1 << 24)', judge="answered files", **CHANNEL),
    P("names_of_all_kinds", "", """
for name in (b"\\xff\\xfe", b"a\\nb", b"..x", b" ", b"\\x1b[31m", b"C:\\\\x", b"-rf", b"a" * 255):
    open(name, "w").write("x")
os.makedirs("d/" * 20); open("d/" * 20 + "deep", "w").write("x")
""", judge="answered files", **CHANNEL),
    P("deep_folders", "", """
for _ in range(3000):
    try: os.mkdir("d"); os.chdir("d")
    except OSError: break
""", judge="answered quick", **CHANNEL),
    P("unreadable_files", "", 'open("x", "w").write("x"); os.chmod("x", 0); os.mkdir("y"); open("y/z", "w").write("x"); os.chmod("y", 0); os.chmod(".", 0)', judge="answered", **CHANNEL),
)  # fmt: skip

HOLD = "; time.sleep(1.5); won()"
LIMITS = also(
    "limits",
    P("memory_one", "", "x = bytearray(260 << 20); x[::4096] = b'x' * len(x[::4096])" + HOLD),
    P("memory_slowly", "", """
keep = []
for _ in range(65): keep.append(bytearray(os.urandom(1 << 20) * 4)); time.sleep(0.005)
time.sleep(1); won()
"""),
    P("memory_many", "", """
def eat(): x = bytearray(40 << 20); x[::4096] = b"x" * len(x[::4096]); time.sleep(2)
pids = [spawn(eat) for _ in range(6)]
won() if all(os.waitpid(p, 0)[1] == 0 for p in pids) else None
"""),
    P("memory_by_mmap", "", """
import mmap
m = mmap.mmap(-1, 260 << 20)
for i in range(0, 260 << 20, 4096): m[i] = 1
time.sleep(1.5); won()
"""),
    P("memory_by_memfd", "", """
fd = os.memfd_create("x")
for _ in range(260): os.write(fd, bytes(1 << 20))
time.sleep(1); won()
"""),
    P("memory_by_memfds_of_children", "", """
def eat():
    fd = os.memfd_create("x")
    for _ in range(50): os.write(fd, bytes(1 << 20))
    time.sleep(2)
pids = [spawn(eat) for _ in range(6)]
won() if all(os.waitpid(p, 0)[1] == 0 for p in pids) else None
"""),
    P("memory_by_shm", "", """
LIBC.shmat.restype = ctypes.c_void_p
made = [LIBC.shmget(0, 50 << 20, 0o1600) for _ in range(5)]
for one in made:
    if one >= 0:
        at = LIBC.shmat(one, None, 0); LIBC.shmctl(one, 0, None)
        ctypes.memset(at, 1, 50 << 20)
time.sleep(1); won() if min(made) >= 0 else None
"""),
    P("memory_by_dev_shm", "", """
with open("/dev/shm/" + W["token"], "wb") as f:
    os.unlink(f.name)
    for _ in range(130): f.write(bytes(1 << 20))
    f.flush(); time.sleep(0.5); won()
"""),
    P("memory_by_pipes", "", """
import fcntl
ends = []
for _ in range(110):
    r, w = os.pipe(); fcntl.fcntl(w, 1031, 1 << 20); os.set_blocking(w, False); os.write(w, bytes(1 << 20)); ends.append((r, w))
time.sleep(1); won()
""", root="pipes of one user are bounded here by other means", user="the kernel bounds the pipes of one user"),
    P("memory_by_sockets", "", """
def eat():
    keep, sent = [], 0
    for _ in range(100):
        a, b = socket.socketpair(); a.setblocking(False); b.setblocking(False); keep += [a, b]
        for one in (a, b):
            try:
                while True: sent += one.send(bytes(65536))
            except OSError: pass
    os.write(w, struct.pack("Q", sent)); time.sleep(3)
r, w = os.pipe()
pids = [spawn(eat) for _ in range(12)]
sent = sum(struct.unpack("Q", os.read(r, 8))[0] for _ in pids)
print(sent >> 20, "MB in sockets"); time.sleep(1)
won() if sent > 200 << 20 else None
for p in pids: os.kill(p, 9)
"""),
    P("memory_shared_unseen", "", """
import mmap
m = mmap.mmap(-1, 320 << 20)
for start in range(0, 320 << 20, 4 << 20):
    for i in range(start, start + (4 << 20), 4096): m[i] = 1
    m.madvise(mmap.MADV_DONTNEED, start, 4 << 20)
time.sleep(1.5); won() if m[0] == 1 and m[300 << 20] == 1 else None
"""),
    P("memory_shared_by_children", "", """
import mmap
m = mmap.mmap(-1, 320 << 20)
def touch(start):
    for i in range(start, start + (8 << 20), 4096): m[i] = 1
for start in range(0, 320 << 20, 8 << 20): os.waitpid(spawn(lambda: touch(start)), 0)
time.sleep(1); won() if m[0] == 1 and m[300 << 20] == 1 else None
"""),
    P("memory_shared_left_by_unmapping", "", """
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
kept = 0
for _ in range(20):
    at = LIBC.mmap(None, 16 << 20, 3, 0x21, -1, 0)
    if at in (None, ctypes.c_void_p(-1).value): break
    ctypes.memset(at, 1, 16 << 20)
    LIBC.munmap(at + 4096, (16 << 20) - 4096)
    kept += 16
time.sleep(1); won() if kept >= 300 else None
"""),
    P("memory_shared_of_dev_zero", "", """
import mmap
with open("/dev/zero", "r+b") as zero: m = mmap.mmap(zero.fileno(), 320 << 20)
for start in range(0, 320 << 20, 4 << 20):
    for i in range(start, start + (4 << 20), 4096): m[i] = 1
    m.madvise(mmap.MADV_DONTNEED, start, 4 << 20)
time.sleep(1.5); won() if m[0] == 1 and m[300 << 20] == 1 else None
"""),
    P("cpu_in_short_lives", "", """
def burn():
    end = time.process_time() + 0.4
    while time.process_time() < end: pass
while os.times().children_user < 7.9:
    pids = [spawn(burn) for _ in range(2)]
    for p in pids: os.waitpid(p, 0)
won(str(os.times().children_user))
""", root="takes longer than a bare run may", user="takes longer than a bare run may"),
    P("locked_memory", "", """
x = ctypes.create_string_buffer(16 << 20); call("mlock", ctypes.addressof(x), 16 << 20); won()
""", user="the kernel bounds locked memory of a user"),
    P("message_queue", "", """
class A(ctypes.Structure): _fields_ = [("f", ctypes.c_long), ("m", ctypes.c_long), ("s", ctypes.c_long), ("c", ctypes.c_long), ("p", ctypes.c_long * 4)]
name = b"battery" + str(os.getpid()).encode(); call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, None); won(); call(241 if X86 else 181, name)
"""),
    P("disk_fill", "", """
with open("x", "wb") as f:
    for _ in range(40): f.write(bytes(1 << 20))
    f.flush(); won()
"""),
    P("disk_fill_by_many", "", """
for folder in (".", "/tmp", "/dev/shm"):
    for i in range(12): open(f"{folder}/{W['token']}-{i}", "wb").write(bytes(1 << 20))
for folder in (".", "/tmp", "/dev/shm"):
    for i in range(12): os.unlink(f"{folder}/{W['token']}-{i}")
won()
"""),
    P("disk_fill_deleted", "", """
keep = [open(f"x{i}", "wb") for i in range(40)]
for f in keep: os.unlink(f.name); f.write(bytes(1 << 20)); f.flush()
won()
"""),
    P("inodes", "", 'for i in range(20000): os.close(os.open(f"i{i}", os.O_CREAT | os.O_WRONLY))\nwon()'),
    P("fork_bomb", "", """
pids = []
for _ in range(60): pids.append(spawn(lambda: time.sleep(4)))
time.sleep(0.5); won() if len(pids) == 60 else None
for p in pids: os.kill(p, 9)
"""),
    P("thread_bomb", "", """
for _ in range(60): threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
won(); os._exit(0)
"""),
    P("fork_tree", "", """
def tree(depth):
    for _ in range(3):
        if depth and os.fork() == 0: tree(depth - 1); time.sleep(2); os._exit(0)
import atexit
open("n", "w").close(); root = os.getpid(); tree(3); time.sleep(1)
won() if os.getpid() == root and sum(1 for p in glob.glob("/proc/[0-9]*/stat") if os.stat(p).st_uid == os.getuid()) > 36 else None
os._exit(0)
"""),
    P("open_files", "", """
keep = [os.open("/dev/null", os.O_RDONLY) for _ in range(900)]
won()
"""),
    P("endless_output", "", """
end = time.monotonic() + 3
while time.monotonic() < end: os.write(1, b"x" * 65536)
""", judge="flood"),
    P("endless_errors", "", """
end = time.monotonic() + 3
while time.monotonic() < end: os.write(2, b"x" * 65536)
""", judge="flood"),
    P("sleeps_on", "", "time.sleep(60)", judge="returned"),
    P("cpu_in_threads", "", """
def burn():
    end = time.monotonic() + 60
    while time.monotonic() < end: hashlib.sha256(b"x" * 100000).digest()
for _ in range(2): threading.Thread(target=burn).start()
""", judge="returned"),
    P("cpu_in_children", "", """
def burn():
    for _ in iter(int, 1): pass
for _ in range(3): spawn(burn)
os.wait()
""", judge="returned"),
    P("regex_burn", "", 'import re; re.match(r"(a+)+$", "a" * 60 + "b")', judge="returned"),
    P("integer_burn", "", "7 ** (10 ** 8) % 10", judge="returned"),
    P("digits_burn", "", "sys.set_int_max_str_digits(0); len(str(7 ** 3_000_000))", judge="returned"),
    P("catches_everything", "", """
while True:
    try: time.sleep(60)
    except BaseException: pass
""", judge="returned"),
    P("giant_sparse_file", "", 'open("s", "wb").truncate(1 << 40); won(); os.unlink("s")'),
    P("pending_signals", "", """
import resource
won() if resource.getrlimit(resource.RLIMIT_SIGPENDING)[0] > 5000 else None
"""),
    P("crash", "", "ctypes.string_at(0)", judge="failed", root=UNSAFE.replace("must not be tried", "would leave a core file"), user=UNSAFE.replace("must not be tried", "would leave a core file")),
)  # fmt: skip
