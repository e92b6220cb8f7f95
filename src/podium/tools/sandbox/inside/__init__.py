"""What runs between the host's process and a box: standard library only, and it knows nothing else of Podium.

`template` is a small process started by `exec` with a clean environment. It forks a launcher for every box; the
launcher makes the namespaces (`launch`), and process 1 of the box (`init`) mounts its root (`root`), starts the payload
behind every confinement (`confine`, `landlock`, `seccomp`) and reports what became of it. `wire` is how they talk to
the host. The payload itself is a fresh program: nothing of these processes is left in it.
"""
