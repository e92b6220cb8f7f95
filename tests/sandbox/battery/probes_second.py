"""Hostile programs of a second author, who read the first's: what a box counts, and what holds on to it.

The box has 96 MB, 16 processes, 6 s of CPU time and 16 MB of disk.
"""

# ruff: noqa: E501 (programs as data)

from __future__ import annotations

from .probes import CHANNEL, UNSAFE, P, also
from .probes_kernel import ALONE
from .probes_limits import FREE

RUNNING = {"root": "a program that runs cannot be written to", "user": "a program that runs cannot be written to"}
FIRST = {"root": UNSAFE, "user": UNSAFE}
LONG = {"root": "takes longer than a bare run may", "user": "takes longer than a bare run may"}

COUNTED = also(
    "limits that hide",
    P("memory_by_page_tables", "", """
import mmap
for _ in range(3):
    m = mmap.mmap(-1, 128 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
    globals().setdefault("keep", []).append(m)
    for i in range(0, 128 << 30, 2 << 20): m[i]
won([line for line in open("/proc/self/status") if line.startswith("VmPTE")])
""", **FREE),
    P("memory_by_mappings", "", """
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def eat():
    at = LIBC.mmap(None, 60000 * 4096, 0, 0x4022, -1, 0)
    for i in range(0, 60000, 2):
        if LIBC.mprotect(at + i * 4096, 4096, 1): return
    os.write(w, b"x"); time.sleep(30)
r, w = os.pipe()
for _ in range(11): spawn(eat)
got = 0
while got < 11: got += len(os.read(r, 11))
time.sleep(1); won("11 processes with 60000 mappings each")
""", **FREE),
    P("cpu_of_children_nobody_waits_for", "", """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
burnt = 0
while burnt < 7:
    left = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            end = time.process_time() + 0.5
            while time.process_time() < end: pass
            os._exit(0)
        left.append(pid)
    for pid in left:
        try: os.waitpid(pid, 0)
        except ChildProcessError: pass
    burnt += 1
won(f"{burnt} s")
""", **LONG),
    P("disk_by_names_and_holes", "", """
for folder in range(200):
    os.mkdir(f"d{folder}")
    for i in range(100): os.symlink("x" * 4000, f"d{folder}/{i}")
won()
""", **LONG),
    P("disk_by_deleted_mapping", "", """
import mmap
keep = []
for i in range(40):
    with open(f"m{i}", "w+b") as f:
        f.truncate(1 << 20); m = mmap.mmap(f.fileno(), 1 << 20); os.unlink(f.name); m[:] = b"x" * (1 << 20); keep.append(m)
won()
"""),
    P("half_letters_on_both_streams", "", """
end = time.monotonic() + 3
while time.monotonic() < end: os.write(1, b"\\xe2\\x82\\0" * 9999); os.write(2, b"\\xf0\\x9f" * 9999)
""", judge="flood"),
)  # fmt: skip

HOLDING = also(
    "holding on",
    P("pipes_enlarged_and_kept", "", """
import fcntl
for fd in (1, 2): fcntl.fcntl(fd, 1031, 1 << 20)
def keep(): os.setsid(); spawn(linger); os._exit(0)
spawn(keep); os.write(1, b"\\xe2" * 200000); os._exit(0)
""", judge="returned survivor"),
    P("own_output_opened_and_read", "", """
def read():
    fd = os.open("/proc/self/fd/1", os.O_RDWR)
    while True: os.read(fd, 65536)
os.write(2, b"START\\n")  # the other one may never be seen
spawn(read); time.sleep(0.5); print("gone"); named(); time.sleep(30)
""", judge="returned survivor"),
    P("signals_to_process_1", "", """
for n in range(1, 65):
    try: os.kill(1, n)
    except OSError: pass
named(); time.sleep(30)
""", judge="returned survivor", **FIRST),
    P("process_1_traced", "", 'call("ptrace", 0x4206, 1, 0, 0); won()', **FIRST),
    P("process_1_laid_open", "", """
for name in ("fd", "map_files", "task/1/fd"):
    try: won(name) if os.listdir(f"/proc/1/{name}") else None
    except OSError: pass
for name in ("mem", "environ", "maps", "auxv", "stack", "root/etc/passwd", "cwd/x"):
    try: won(name) if open(f"/proc/1/{name}", "rb").read(1) else None
    except OSError: pass
""", **FIRST),
    P("process_1_written_to", "", """
for name, data in (("mem", b"x"), ("clear_refs", b"1"), ("oom_score_adj", b"1000"), ("coredump_filter", b"0"), ("timerslack_ns", b"1")):
    try:
        with open(f"/proc/1/{name}", "wb", 0) as f: f.write(data)
        won(name)
    except OSError: pass
""", **FIRST),
    P("stops_everybody", "", """
for _ in range(3): spawn(linger)
time.sleep(0.3); named(); os.kill(-1, signal.SIGSTOP); os.kill(os.getpid(), signal.SIGSTOP)
""", judge="returned survivor", **ALONE),
    P("vfork_that_never_execs", "", """
LIBC.vfork.restype = ctypes.c_int
named()
if os.fork() == 0:
    LIBC.syscall(58 if X86 else 220, 0x4111, 0, 0, 0, 0); time.sleep(60)
time.sleep(60)
""", judge="returned survivor"),
    P("zombies", "", "for _ in range(200): spawn(lambda: None)\nwon()"),
    P("comet_in_a_new_session_each", "", """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + 20
while time.monotonic() < end:
    if os.fork(): os._exit(0)
    os.setsid(); named(); time.sleep(0.01)
""", judge="survivor"),
)  # fmt: skip

OVERWRITING = also(
    "what is shared",
    P("own_program_overwritten", "", 'fd = os.open("/proc/self/exe", os.O_RDWR); os.write(fd, b"x"); won()', **RUNNING),
    P("own_library_overwritten", "", """
for line in open("/proc/self/maps"):
    path = line.split()[-1]
    if path.startswith("/") and ".so" in path:
        fd = os.open(path, os.O_RDWR); won(path); os.close(fd); break
""", user="needs root"),
    P("program_linked", "", 'os.link("/usr/bin/env", "env"); won()', root="the work dir may be another file system", user="the work dir may be another file system"),
    P("program_touched", "", 'os.utime("/usr/bin/env"); won()', user="needs root"),
    P("device_changed", "", 'os.chmod("/dev/null", 0o600); won(); os.chmod("/dev/null", 0o666)', **FIRST),
    P("mounts_moved_by_rename", "", 'os.rename("/box", "/tmp/x"); won()', root="there is no /box", user="there is no /box"),
    P("root_made_writable_by_fd", "", 'fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY); os.mkdir("x" + W["token"], dir_fd=fd); won(); os.rmdir("/x" + W["token"])', user="needs root"),
)  # fmt: skip

LEFT_BEHIND = also(
    "files that mislead",
    P("five_thousand_files", "", 'for i in range(5000): open(f"f{i}", "w").close()', judge="answered files quick", **CHANNEL),
    P("file_linked_to_itself", "", """
open("a", "w").write("x" * 100000)
for i in range(3000): os.link("a", f"l{i}")
""", judge="answered files quick", **CHANNEL),
    P("links_in_a_ring", "", 'os.mkdir("d"); os.symlink("../d", "d/d"); os.symlink("loop", "loop"); os.symlink("/proc/self/root", "r"); os.symlink("/dev/zero", "z")', judge="answered files quick", **CHANNEL),
    P("work_dir_replaced", "", """
os.chdir("/tmp"); import shutil
for name in os.listdir("/box"): shutil.rmtree("/box/" + name, ignore_errors=True)
try: os.rmdir("/box"); os.symlink("/etc", "/box"); won()
except OSError: pass
""", judge="answered files", **CHANNEL),
    P("holes_of_a_terabyte", "", """
for i in range(50):
    with open(f"h{i}", "wb") as f: os.posix_fallocate(f.fileno(), 0, 4096); f.truncate(30 << 20)
""", judge="answered files quick", **CHANNEL),
    P("value_of_duplicate_keys", "", 'os.write(3, b\'{"a": 1, "a": 2, "__proto__": 3}\'); os._exit(0)', judge="answered encodable", **CHANNEL),
    P("value_twice_by_a_fork", "", 'os.fork()\n{"a": 1}', judge="answered encodable", **CHANNEL),
    P("value_of_a_changed_encoder", "", 'json.dumps = lambda *a, **k: \'{"a": NaN}\'\n1', judge="answered finite failed", **CHANNEL),
    P("exit_hidden_by_a_hook", "", 'import atexit; atexit.register(lambda: os._exit(0)); sys.excepthook = lambda *a: os._exit(0)\nos.kill(os.getpid(), 9)', judge="failed", **CHANNEL),
)  # fmt: skip
