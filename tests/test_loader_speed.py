"""scripts/loader_speed.py: that it measures all forms; the numbers are the machine's."""

from pathlib import Path

import pytest
from video_files import own_data_flags, write_dataset

from scripts import loader_speed

TINY = ["--clips", "3", "--rounds", "2", "-j", "0", "--num_segments", "2", "--input_size", "32"]


@pytest.mark.parametrize("own", [False, True])
def test_a_table_of_all_forms(tmp_path: Path, own: bool, capsys) -> None:
    data = ["--num_frames", "4"]
    if own:
        flags = own_data_flags(write_dataset(tmp_path))
        data = ["mine", *flags[:4], *flags[6:]]  # without the val list
    loader_speed.main([*data, *TINY])
    about, _versions, _, heading, _, *rows = capsys.readouterr().out.splitlines()
    assert "2 x 5 frames of 3 videos, 32 px" in about
    assert "clips/s, no workers" in heading
    assert [row.split(" | ")[0] for row in rows] == ["| folder", "| archive", "| video"]
    assert [row.split(" | ")[2] for row in rows] == [str(3 * 4) if not own else str(12 + 13 + 14), "3", "3"]
