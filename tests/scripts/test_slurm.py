"""scripts/slurm.sh, with stand-ins for the commands of Slurm."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm.sh"
SRUN = """#!/bin/sh
trap 'echo stopped by USR1 >> calls; exit 1' USR1
trap 'echo stopped by TERM >> calls; exit 1' TERM
echo "srun $*" >> calls
while [ -e running ]; do sleep 0.05; done
exit $(cat status)
"""


@pytest.mark.parametrize(
    ("number", "status", "requeued"), [("USR1", 1, True), ("TERM", 1, False), (None, 0, False), (None, 3, False)]
)
def test_a_job_that_runs_out_of_time_is_requeued(
    tmp_path: Path, number: str | None, status: int, requeued: bool
) -> None:
    scripts = {"srun": SRUN, "scontrol": '#!/bin/sh\necho "scontrol $*" >> calls\necho node7\necho node8\n'}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "running").touch()
    (tmp_path / "status").write_text(str(status))
    slurm = {"SLURM_JOB_ID": "20042", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[7-8]"}
    environment = {**os.environ, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    job = subprocess.Popen(["bash", str(SCRIPT), "mine", "--lr", "0.1"], cwd=tmp_path, env=environment)
    calls = tmp_path / "calls"
    for _ in range(600):
        if calls.exists() and "srun" in calls.read_text():
            break
        time.sleep(0.05)
    if number:
        job.send_signal(getattr(signal, f"SIG{number}"))
    else:
        (tmp_path / "running").unlink()
    assert job.wait(30) == status
    lines = calls.read_text().splitlines()
    assert lines[0] == "scontrol show hostnames node[7-8]"
    assert "--nnodes 2" in lines[1]
    assert "--rdzv_endpoint node7:20042" in lines[1]
    assert lines[1].endswith("train.py mine --lr 0.1 --resume auto")
    assert (f"stopped by {number}" in lines) == (number is not None)
    assert (lines[-1] == "scontrol requeue 20042") == requeued
