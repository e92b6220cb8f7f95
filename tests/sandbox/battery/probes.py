"""Hostile programs, as data: each tries one thing and prints a mark only when it got it, or leaves a trace outside.

`bare` says what the probe does without a sandbox, as root and as an ordinary user: "bites", or the reason why it cannot
(or must not be tried) on a machine that is not protected. `judge` is the harness's check when the effect is outside.
"""

# ruff: noqa: E501 (programs as data)

from __future__ import annotations

from typing import NamedTuple


class Probe(NamedTuple):
    """One hostile program. `root` and `user`: "bites", or why it does not bite without a sandbox."""

    name: str
    kind: str
    code: str
    root: str = "bites"
    user: str = "bites"
    judge: str = ""
    lang: str = "python"


PRIVILEGE = "needs root"
ROOT_ONLY = {"user": PRIVILEGE}
NO_CHANNEL = "there is no channel for results without a sandbox"
CHANNEL = {"root": NO_CHANNEL, "user": NO_CHANNEL}
ABSENT = "the machine that this was measured on has none, or guards it by other means"
UNSAFE = "must not be tried where nothing holds it"


def also(kind: str, *probes: Probe) -> list[Probe]:
    return [probe._replace(kind=kind) for probe in probes]


def reach(name: str, arguments: str, **bare: str) -> Probe:
    """Is the system call's code within reach?"""
    return Probe(name, "", f'reached("{name}", {arguments})', **bare)


P = Probe

READING = also(
    "reading files",
    P("canary_file", "", 'won() if has_secret(open(W["secret"], "rb").read()) else None'),
    P("canary_by_shell", "", 'cat "$SECRET" | grep -q CANARY- && echo "$MARK"', lang="sh"),
    P("etc_shadow", "", 'opens("/etc/shadow")', **ROOT_ONLY),
    P("etc_hostname", "", 'opens("/etc/hostname")'),
    P("etc_passwd_of_host", "", 'won() if "daemon" in open("/etc/passwd").read() else None'),
    P("root_home", "", 'won() if [n for n in os.listdir("/root") if n != ".pyenv"] else None', **ROOT_ONLY),
    P("project_tree", "", 'won() if "pyproject.toml" in os.listdir(W["project"]) else None'),
    P("project_git", "", 'opens(W["project"] + "/pyproject.toml")'),
    P("var_log", "", 'won() if os.listdir("/var") else None'),
    P("host_tmp", "", 'won() if any(n.startswith("podium-battery-") for n in os.listdir("/tmp")) else None'),
    P("proc_1_root", "", 'won() if os.path.exists("/proc/1/root" + W["secret"]) else None', root="process 1 has a root of its own on some machines", user=PRIVILEGE),
    P("parent_root", "", 'won() if os.path.exists(f"/proc/{os.getppid()}/root" + W["secret"]) else None'),
    P("dotdot_chain", "", 'opens("../" * 40 + W["secret"].lstrip("/"))'),
    P("symlink_out", "", 'os.symlink(W["secret"], "link"); won() if has_secret(open("link", "rb").read()) else None'),
    P("any_fd_chdir_out", "", """
for fd in range(256):
    try:
        os.fchdir(fd)
        won(f"folder {fd}") if os.path.exists("../" * 30 + W["secret"].lstrip("/")) else None
    except OSError: pass
""", root="the bare run inherits no folder", user="the bare run inherits no folder"),
    P("host_mountinfo", "", 'won() if W["world"].split("/")[1] == "tmp" and os.path.exists(W["world"]) else None'),
    P("sys_fs", "", 'won() if os.listdir("/sys") else None'),
    P("block_device", "", 'won() if [opens(p) for p in glob.glob("/dev/[vsn][dv][am]*")[:1]] else None', root=ABSENT, user=PRIVILEGE),
    P("dev_mem", "", '[opens(p) for p in ("/dev/mem", "/dev/kmsg", "/proc/kcore", "/dev/port") if os.path.exists(p)]', **ROOT_ONLY),
    P("kallsyms_addresses", "", 'won() if int(open("/proc/kallsyms").readline().split()[0], 16) else None', **ROOT_ONLY),
)  # fmt: skip

PEEKING = also(
    "host's environment and memory",
    P("own_environment", "", 'won() if "BATTERY_SECRET" in os.environ else None'),
    P("any_environment", "", """
for path in glob.glob("/proc/[0-9]*/environ"):
    try: won(path) if b"BATTERY_SECRET=" in open(path, "rb").read() else None
    except OSError: pass
"""),
    P("own_initial_stack", "", 'won() if b"BATTERY_SECRET=" in open("/proc/self/environ", "rb").read() else None'),
    P("own_memory", "", """
for line in open("/proc/self/maps"):
    a, b = (int(x, 16) for x in line.split()[0].split("-"))
    if "rw" in line and "[v" not in line and b - a < 1 << 26:
        try:
            with open("/proc/self/mem", "rb") as m:
                m.seek(a); won(line) if has_secret(m.read(b - a)) else None
        except (OSError, ValueError, OverflowError): pass
""", root="a bare run is started by exec, with new memory", user="a bare run is started by exec, with new memory"),
    P("host_cmdline", "", 'won() if any(W["victim_name"].encode() in open(p, "rb").read() for p in glob.glob("/proc/[0-9]*/cmdline")) else None'),
    P("host_mem_file", "", """
with open("/proc/%d/mem" % W["pid"], "rb", 0) as m:
    m.seek(W["address"]); won() if has_secret(m.read(32)) else None
"""),
    P("process_vm_readv", "", """
buffer = ctypes.create_string_buffer(32)
local = struct.pack("QQ", ctypes.addressof(buffer), 32); remote = struct.pack("QQ", W["address"], 32)
call("process_vm_readv", W["pid"], local, 1, remote, 1, 0); won() if has_secret(buffer.raw) else None
"""),
    P("vm_readv_of_parent", "", """
buffer = ctypes.create_string_buffer(64)
for pid in (os.getppid(),):
    for line in open(f"/proc/{pid}/maps"):
        start = int(line.split("-")[0], 16)
        call("process_vm_readv", pid, struct.pack("QQ", ctypes.addressof(buffer), 64), 1, struct.pack("QQ", start, 64), 1, 0)
        won(line); break
"""),
    P("ptrace_victim", "", 'call("ptrace", 16, W["victim"], 0, 0); won(); os.waitpid(W["victim"], 0x40000000); call("ptrace", 17, W["victim"], 0, 0)'),
    P("ptrace_seize_parent", "", 'call("ptrace", 0x4206, os.getppid(), 0, 0); won()'),
    P("ptrace_own_child", "", """
pid = spawn(lambda: time.sleep(3)); reached("ptrace", 0x4206, pid, 0, 0); os.kill(pid, 9)
"""),
    P("pidfd_getfd", "", 'fd = call("pidfd_open", W["victim"], 0); call("pidfd_getfd", fd, 0, 0); won()'),
    P("pidfd_getfd_parent", "", 'fd = call("pidfd_open", os.getppid(), 0); call("pidfd_getfd", fd, 1, 0); won()'),
    P("kcmp", "", 'reached("kcmp", os.getpid(), os.getppid(), 0, 0, 0)'),
    P("parent_fds", "", 'won() if os.listdir(f"/proc/{os.getppid()}/fd") else None'),
    P("parent_environ", "", 'won() if open(f"/proc/{os.getppid()}/environ", "rb").read() else None'),
    P("parent_maps", "", 'won() if open(f"/proc/{os.getppid()}/maps").read() else None'),
    P("victim_named", "", 'won() if W["victim_name"] in open("/proc/%d/cmdline" % W["victim"]).read() else None'),
    P("dmesg", "", 'reached("syslog", 3, ctypes.create_string_buffer(99), 99)', **ROOT_ONLY),
)  # fmt: skip

WRITING = also(
    "writing outside",
    P("canary_write", "", 'open(W["writable"], "a").write("x"); won()', judge="world"),
    P("canary_chmod", "", 'os.chmod(W["writable"], 0o777)', judge="world"),
    P("canary_chown", "", 'os.chown(W["writable"], 4711, 4711)', judge="world", **ROOT_ONLY),
    P("canary_utimes", "", 'os.utime(W["writable"], (1, 1))', judge="world"),
    P("canary_xattr", "", 'os.setxattr(W["writable"], "user.battery", b"x")', judge="world"),
    P("canary_truncate", "", 'os.truncate(W["writable"], 0)', judge="world"),
    P("canary_new_file", "", 'open(W["world"] + "/new", "w").write("x")', judge="world"),
    P("canary_rename", "", 'os.rename(W["writable"], W["world"] + "/moved")', judge="world"),
    P("canary_unlink", "", 'os.unlink(W["writable"])', judge="world"),
    P("canary_hardlink", "", 'os.link(W["writable"], "own"); open("own", "a").write("x")', judge="world"),
    P("canary_by_open_tree", "", """
fd = call("open_tree", -100, b"/", 1); won()
""", user="needs privileges in the namespace", root="bites"),
    P("root_folder", "", 'p = "/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)', **ROOT_ONLY),
    P("etc", "", 'p = "/etc/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)', **ROOT_ONLY),
    P("usr", "", 'p = "/usr/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)', **ROOT_ONLY),
    P("usr_lib_python", "", 'p = os.path.dirname(os.__file__) + "/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)', **ROOT_ONLY),
    P("var_tmp", "", 'p = "/var/tmp/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)'),
    P("site_packages", "", 'import importlib.util; p = [q for q in sys.path if q.endswith("-packages")][0] + "/" + W["token"]; open(p, "w").close(); won(); os.unlink(p)', **ROOT_ONLY),
    P("core_pattern", "", 'opens("/proc/sys/kernel/core_pattern", os.O_WRONLY)', **ROOT_ONLY),
    P("modprobe_path", "", 'opens("/proc/sys/kernel/modprobe", os.O_WRONLY)', root=ABSENT, user=PRIVILEGE),
    P("sysrq", "", 'opens("/proc/sysrq-trigger", os.O_WRONLY)', root=ABSENT, user=PRIVILEGE),
    P("any_proc_sys", "", """
for base, _, names in os.walk("/proc/sys"):
    for name in names:
        if os.access(os.path.join(base, name), os.W_OK):
            try: opens(os.path.join(base, name), os.O_WRONLY); raise SystemExit
            except OSError: pass
""", **ROOT_ONLY),
    P("uevent_helper", "", '[opens(p, os.O_WRONLY) for p in glob.glob("/sys/kernel/uevent_helper") + glob.glob("/sys/kernel/mm/transparent_hugepage/enabled")]', **ROOT_ONLY),
    P("release_agent", "", '[opens(p, os.O_WRONLY) for p in glob.glob("/sys/fs/cgroup/*/release_agent")]', **ROOT_ONLY),
    P("cgroup_procs", "", '[opens(p, os.O_WRONLY) for p in glob.glob("/sys/fs/cgroup/*/cgroup.procs") + glob.glob("/sys/fs/cgroup/cgroup.procs")]', **ROOT_ONLY),
    P("oom_score_of_parent", "", 'opens(f"/proc/{os.getppid()}/oom_score_adj", os.O_WRONLY)'),
    P("own_oom_score_lower", "", 'open("/proc/self/oom_score_adj", "w").write("-500"); won()', **ROOT_ONLY),
    P("mknod_disk", "", 'os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(254, 0)); won()', **ROOT_ONLY),
    P("mknod_null", "", 'os.mknod("null", stat.S_IFCHR | 0o600, os.makedev(1, 3)); won()', **ROOT_ONLY),
    P("dev_write", "", 'open("/dev/" + W["token"], "w").close(); won(); os.unlink("/dev/" + W["token"])', **ROOT_ONLY),
    P("setuid_file", "", """
open("suid", "wb").write(open("/bin/true", "rb").read()); os.chmod("suid", 0o6755)
os.mkdir("there"); won() if os.stat("suid").st_uid == 0 and os.stat("suid").st_mode & 0o4000 else None
""", **ROOT_ONLY),
)  # fmt: skip
