"""Hostile programs against the kernel: namespaces, mounts, privileges, system calls, signals and survivors."""

# ruff: noqa: E501 (programs as data)

from __future__ import annotations

from .probes import PRIVILEGE, ROOT_ONLY, UNSAFE, P, also, reach

OFF = "the kernel here has it switched off or unbuilt"
ALONE = {"root": UNSAFE, "user": UNSAFE}

MOUNTING = also(
    "namespaces and mounts",
    P("mount_tmpfs", "", 'os.mkdir("m"); call("mount", b"none", b"m", b"tmpfs", 0, None); won(); call("umount2", b"m", 2)', **ROOT_ONLY),
    P("mount_proc", "", 'os.mkdir("m"); call("mount", b"none", b"m", b"proc", 0, None); won(); call("umount2", b"m", 2)', **ROOT_ONLY),
    P("mount_cgroup", "", 'os.mkdir("m"); call("mount", b"none", b"m", b"cgroup2", 0, None); won(); call("umount2", b"m", 2)', **ROOT_ONLY),
    P("remount_rw", "", 'call("mount", None, b"/usr", None, 4096 | 32, None); won()', root=UNSAFE, user=UNSAFE),
    P("bind_mount", "", 'os.mkdir("m"); call("mount", b"/", b"m", None, 4096, None); won(); call("umount2", b"m", 2)', **ROOT_ONLY),
    P("umount_work", "", 'call("umount2", b"/proc", 2); won()', root=UNSAFE, user=UNSAFE),
    P("pivot_root", "", 'reached("pivot_root", b".", b".")', **ROOT_ONLY),
    P("chroot", "", 'os.mkdir("c"); os.chroot("c"); won()', **ROOT_ONLY),
    P("chroot_escape", "", """
os.mkdir("c"); fd = os.open("/", os.O_RDONLY); os.chroot("c"); os.fchdir(fd); os.chdir("../" * 20)
won() if os.path.exists("." + W["secret"]) else None
""", **ROOT_ONLY),
    P("user_namespace", "", 'call("unshare", 0x10000000); won()'),
    P("user_and_mount_namespace", "", 'call("unshare", 0x10020000); won()'),
    P("user_and_net_namespace", "", 'call("unshare", 0x50000000); won()'),
    P("net_namespace", "", 'call("unshare", 0x40000000); won()', **ROOT_ONLY),
    P("clone_newuser", "", """
pid = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
won()
"""),
    P("clone3_newuser", "", """
args = struct.pack("QQQQQQQQ", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
pid = call("clone3", args, len(args))
if pid == 0: os._exit(0)
won()
"""),
    P("unshare_program", "", 'unshare -Ur true 2>/dev/null && echo "$MARK"', lang="sh"),
    P("setns_init", "", 'fd = os.open("/proc/1/ns/mnt", os.O_RDONLY); call("setns", fd, 0); won()', root="joins the namespace it is in, refused without the right file", user=PRIVILEGE),
    P("setns_self", "", 'fd = os.open("/proc/self/ns/uts", os.O_RDONLY); call("setns", fd, 0); won()', **ROOT_ONLY),
    P("setns_pidfd", "", 'fd = call("pidfd_open", os.getpid(), 0); reached("setns", fd, 0x04000000)', **ROOT_ONLY),
    P("open_by_handle", "", """
handle = struct.pack("Ii", 8, 1) + struct.pack("QQ", 2, 0)
fd = os.open("/usr", os.O_RDONLY); reached("open_by_handle_at", fd, ctypes.create_string_buffer(handle), 0)
""", **ROOT_ONLY),
    P("name_to_handle", "", """
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)); mount = ctypes.c_int()
call("name_to_handle_at", -100, b"/usr", handle, ctypes.byref(mount), 0); won()
"""),
    P("fsopen", "", 'call("fsopen", b"tmpfs", 0); won()', **ROOT_ONLY),
    P("fspick", "", 'call("fspick", -100, b"/", 0); won()', **ROOT_ONLY),
    P("open_tree_clone", "", 'call("open_tree", -100, b"/", 1); won()', **ROOT_ONLY),
    P("mount_setattr", "", 'reached("mount_setattr", -100, b"/nothing-there", 0, struct.pack("QQQQ", 0, 1, 0, 0), 32)', **ROOT_ONLY),
    P("proc_remount_hidepid", "", 'call("mount", None, b"/proc", None, 32, b"hidepid=0"); won()', root=UNSAFE, user=PRIVILEGE),
)  # fmt: skip

SURFACE = also(
    "kernel surface",
    reach("io_uring_setup", "1, ctypes.create_string_buffer(120)"),
    reach("bpf", "0, ctypes.create_string_buffer(72), 72"),
    reach("perf_event_open", "ctypes.create_string_buffer(128), 0, -1, -1, 0", user=PRIVILEGE),
    reach("userfaultfd", "0", user=PRIVILEGE),
    reach("keyctl", "0, -3, 1"),
    reach("add_key", 'b"user", b"battery", b"x", 1, -3'),
    reach("request_key", 'b"user", b"battery", None, 0'),
    reach("init_module", 'b"x", 1, b""', root=OFF, user=OFF),
    reach("finit_module", '-1, b"", 0', root=OFF, user=OFF),
    reach("delete_module", 'b"battery_no_such_module", 0x800', root=OFF, user=OFF),
    reach("kexec_load", "0, 99, None, -1", root=OFF, user=OFF),
    reach("swapon", 'b"/nothing-there", 0', **ROOT_ONLY),
    reach("acct", 'b"/nothing-there"', **ROOT_ONLY),
    reach("quotactl", '0x800007 << 8, b"/nothing-there", 0, None', **ROOT_ONLY),
    reach("fanotify_init", "0, 0", **ROOT_ONLY),
    reach("memfd_secret", "0", root=OFF, user=OFF),
    reach("migrate_pages", "0, 1, ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)"),
    reach("process_madvise", "-1, None, 0, 4, 0"),
    reach("modify_ldt", "0, ctypes.create_string_buffer(16), 16"),
    reach("iopl", "3", root=OFF, user=OFF),
    reach("vmsplice", "1, None, 0, 0"),
    P("x32_call", "", """
if X86:
    try: call(0x40000000 + 39); won()
    except OSError as error: won() if error.errno != errno.ENOSYS else None
""", root="x32 is not built into this kernel", user="x32 is not built into this kernel"),
    P("int80_call", "", """
if X86:
    import mmap
    # mov eax, 20 (getpid); int 0x80; ret
    page = mmap.mmap(-1, 4096, prot=7); page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
    f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    won() if f() == os.getpid() else None
"""),
    P("tiocsti", "", """
import fcntl, pty
master, slave = pty.openpty() if os.path.exists("/dev/ptmx") else (0, 0)
try: fcntl.ioctl(slave, 0x5412, b"x"); won()
except OSError as error: won(str(error)) if error.errno not in (errno.EPERM, errno.EACCES) else None
""", user="the kernel has legacy_tiocsti off for users"),
    P("ioctl_high_bits", "", """
LIBC.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
if LIBC.ioctl(0, 0x1_0000_5412, b"x") == -1 and ctypes.get_errno() not in (errno.EPERM, errno.EACCES): won(str(ctypes.get_errno()))
"""),
    P("netlink", "", 'socket.socket(16, socket.SOCK_RAW, 0).close(); won()'),
    P("netlink_dgram", "", 'socket.socket(16, socket.SOCK_DGRAM, 0).close(); won()'),
    P("af_packet", "", 'socket.socket(17, socket.SOCK_DGRAM, 0).close(); won()', **ROOT_ONLY),
    P("af_vsock", "", 'socket.socket(40, socket.SOCK_STREAM).close(); won()'),
    P("af_alg", "", 'socket.socket(38, socket.SOCK_SEQPACKET).close(); won()', root=OFF, user=OFF),
    P("odd_families", "", """
for family in range(3, 46):
    if family in (16, 17, 38, 40): continue
    for kind in (1, 2, 3, 5):
        try: socket.socket(family, kind).close(); won(f"{family} {kind}"); raise SystemExit
        except OSError: pass
""", root=OFF, user=OFF),
    P("socketpair_inet_by_number", "", 'socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(); won()'),
    P("debugfs", "", 'won() if os.listdir("/sys/kernel/debug") or os.listdir("/sys/kernel") else None', **ROOT_ONLY),
)  # fmt: skip

BECOMING = also(
    "privileges",
    P("is_root", "", "won() if os.getuid() == 0 else None", **ROOT_ONLY),
    P("kernel_uid_root", "", 'won() if os.stat("/proc/self").st_uid == 0 else None', **ROOT_ONLY),
    P("setuid_0", "", "os.setuid(0); won()", **ROOT_ONLY),
    P("setgroups", "", "os.setgroups([0]); won()", **ROOT_ONLY),
    P("has_capabilities", "", """
for line in open("/proc/self/status"):
    if line.startswith(("CapPrm", "CapEff", "CapInh", "CapAmb")) and int(line.split()[1], 16): won(line)
""", **ROOT_ONLY),
    P("bounding_set", "", 'won() if [l for l in open("/proc/self/status") if l.startswith("CapBnd") and int(l.split()[1], 16)] else None'),
    P("no_new_privileges", "", 'won() if "NoNewPrivs:\\t0" in open("/proc/self/status").read() else None'),
    P("no_seccomp", "", 'won() if "Seccomp:\\t0" in open("/proc/self/status").read() else None'),
    P("capset_all", "", """
head = struct.pack("Ii", 0x20080522, 0); data = struct.pack("IIIIII", 0xFFFFFFFF, 0xFFFFFFFF, 0, 0xFF, 0xFF, 0)
call("capset", head, data); won()
""", root="not every capability is there to take", user=PRIVILEGE),
    P("ambient", "", 'won() if LIBC.prctl(47, 2, 13, 0, 0) == 0 else None', root="capabilities are not inheritable here", user=PRIVILEGE),
    P("keep_bounding_drop", "", 'won() if LIBC.prctl(24, 30, 0, 0, 0) == 0 else None', **ROOT_ONLY),
    P("setuid_program", "", """
found = [p for p in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/chsh") if os.path.exists(p) and os.stat(p).st_mode & 0o4000]
pid = os.fork()
if pid == 0: os.execv(found[0], [found[0], "--help"])
won() if os.stat(found[0]).st_uid == 0 and not (os.statvfs(found[0]).f_flag & os.ST_NOSUID) else None
"""),
    P("clock_settime", "", 'reached("clock_settime", 0, struct.pack("qq", 0, -1))'),
    P("adjtimex", "", 'reached("adjtimex", ctypes.create_string_buffer(208))'),
    P("sethostname", "", 'call("sethostname", socket.gethostname().encode(), len(socket.gethostname())); won()', **ROOT_ONLY),
    P("negative_nice", "", "os.nice(-5); won()", **ROOT_ONLY),
    P("realtime", "", 'os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)); won()', **ROOT_ONLY),
    P("realtime_io", "", 'call("ioprio_set", 1, 0, 1 << 13); won()', **ROOT_ONLY),
    P("prlimit_parent", "", 'buffer = ctypes.create_string_buffer(16); call("prlimit64", os.getppid(), 7, None, buffer); won()'),
    P("prlimit_victim", "", 'call("prlimit64", W["victim"], 7, struct.pack("QQ", 64, 64), None); won()'),
    P("raise_own_limits", "", """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (hard * 2, hard * 2)); won()
""", root="needs a capability that is missing here", user=PRIVILEGE),
    P("core_dump", "", """
import resource
try: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
except (OSError, ValueError): pass
won() if resource.getrlimit(resource.RLIMIT_CORE)[1] > 1 else None
"""),
    P("hostname_of_host", "", 'won() if socket.gethostname() == W["hostname"] else None'),
)  # fmt: skip

SIGNALS = also(
    "signals",
    P("kill_victim", "", 'os.kill(W["victim"], 15); won()', judge="victim"),
    P("kill_harness_urg", "", 'os.kill(W["pid"], signal.SIGURG); won()', judge="urgent"),
    P("kill_parent_zero", "", "os.kill(os.getppid(), 0); won()"),
    P("kill_group_0", "", "os.kill(0, signal.SIGURG)", judge="urgent"),
    P("kill_everyone", "", "os.kill(-1, signal.SIGUSR1) if os.getuid() else won('root')", judge="victim", **ALONE),
    P("sigqueue_victim", "", 'fd = call("pidfd_open", W["victim"], 0); signal.pidfd_send_signal(fd, 15); won()', judge="victim"),
    P("tkill_range", "", """
for pid in range(2, 40000):
    if pid != os.getpid():
        try: os.kill(pid, 0)
        except OSError: continue
        if pid == W["victim"]: won()
"""),
    P("renice_victim", "", 'os.setpriority(os.PRIO_PROCESS, W["victim"], 15); won()'),
    P("getsid_of_host", "", 'won() if os.getsid(W["victim"]) else None'),
    P("own_session_is_new", "", "won() if os.getsid(0) == 0 else None", root="the bare run shares the caller's session number", user="the bare run shares the caller's session number"),
    P("controlling_terminal", "", 'opens("/dev/tty", os.O_RDWR)', root="the battery has no terminal", user="the battery has no terminal"),
    P("stop_parent", "", "os.kill(os.getppid(), signal.SIGURG); won()"),
)  # fmt: skip

SURVIVING = also(
    "survivors",
    P("background_child", "", "spawn(linger)", judge="survivor"),
    P("daemon", "", 'spawn(lambda: (os.setsid(), spawn(linger)))', judge="survivor"),
    P("nohup_shell", "", 'setsid nohup sh -c "sleep 25; : $TOKEN" >/dev/null 2>&1 & echo started', lang="sh", judge="survivor"),
    P("pid_hopper", "", """
end = time.monotonic() + 20
if os.fork() == 0:
    os.setsid()
    while time.monotonic() < end:
        if os.fork(): os._exit(0)
        time.sleep(0.02)
        named()
""", judge="survivor"),
    P("holds_the_pipes", "", "spawn(linger); os._exit(0)", judge="returned survivor"),
    P("ignores_signals", "", """
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
named(); time.sleep(30)
""", judge="returned survivor"),
    P("closes_output_and_sleeps", "", """
for fd in (0, 1, 2, 3):
    try: os.close(fd)
    except OSError: pass
named(); time.sleep(30)
""", judge="returned survivor"),
    P("stops_itself", "", 'named(); os.kill(os.getpid(), signal.SIGSTOP)', judge="returned survivor"),
    P("vfork_and_stop", "", """
if os.fork() == 0:
    named(); os.setsid(); os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(30)
""", judge="returned survivor"),
)  # fmt: skip
