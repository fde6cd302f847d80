"""--help and wrong options of every script are answered before anything that takes seconds to load."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    str(path.relative_to(ROOT))
    for path in sorted([*ROOT.glob("*.py"), *ROOT.glob("scripts/*.py")])
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
# All scripts in one process: {script: [status and length of the help, status of a wrong option, slow modules]}.
RUN_ALL = """
import contextlib, io, json, runpy, sys

def run(script, *options):
    sys.argv, out = [script, *options], io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            return end.code, len(out.getvalue())

found = {}
for script in sys.argv[1:]:
    answers = run(script, "--help"), run(script, "--no_such_option")[0]
    slow = {"torch", "torchvision", "matplotlib", "sklearn", "scipy", "pandas"}.intersection(sys.modules)
    found[script] = [*answers, sorted(slow)]
print(json.dumps(found))
"""


def test_help_loads_nothing_slow() -> None:
    command = [sys.executable, "-c", RUN_ALL, *SCRIPTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) > 15
    for script, ((status, length), wrong, slow) in found.items():
        assert (status, wrong, slow) == (0, 2, []), script
        assert length > 200, script
