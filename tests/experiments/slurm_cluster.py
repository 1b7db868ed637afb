"""A SLURM cluster of this machine alone, in a folder of its own: Debian's munged, slurmctld and slurmd on loopback."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd")
NODES = ("one", "two")

CONFIGURATION = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
MpiDefault=none
KillWait=5
ReturnToService=2
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


def find(program):
    """Where a daemon lies, which need not be on the path of who is not root; None if it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def cluster():
    """Starts the daemons, waits until both nodes are idle, gives slurm.conf; stops what it started."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # munge wants its socket to be within reach of everybody
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        names = {"folder": folder, "user": getpass.getuser(), "host": socket.gethostname().partition(".")[0]}
        configuration = folder / "slurm.conf"
        configuration.write_text(CONFIGURATION.format(**names, ports=free_ports(3)))
        environment = {**os.environ, "SLURM_CONF": str(configuration)}
        own = [f"--{kind}={folder}/munged.{kind.partition('-')[0]}" for kind in ("pid-file", "log-file", "seed-file")]
        commands = {
            "munged": ["--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket", *own],
            "slurmctld": ["-D", "-f", configuration],
            **{f"slurmd {node}": ["-D", "-f", configuration, "-N", node] for node in NODES},
        }
        for daemon, words in commands.items():
            log = stack.enter_context((folder / f"{daemon.replace(' ', '-')}.out").open("w"))
            process = subprocess.Popen(
                [find(daemon.partition(" ")[0]), *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
            stack.callback(_stop, process)
            time.sleep(1)  # each needs the one before
        until = time.monotonic() + 60
        while (said := _sinfo(environment)).count("idle") < len(NODES):
            logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("*.out"))
            assert time.monotonic() < until, f"{said}\n{logs}"
            time.sleep(0.5)
        yield configuration


def _sinfo(environment):
    words = ["sinfo", "--noheader", "--Node", "--format=%N %T"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout


def _stop(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
