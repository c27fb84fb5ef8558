"""An OCI runtime: the launcher behind the command line that runc has, for Podman, containerd and
Docker to call. `cli` tells the operations, `bundle` what a bundle may ask for, `create` how a
container comes to be, `first` what its first process does, `states` what is known of it.

https://github.com/opencontainers/runtime-spec. It runs under `python -I -S`, as the launcher does:
a little of the standard library, and of ours only what needs nothing else.
"""
