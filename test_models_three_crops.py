#!/usr/bin/env python
"""Score a list of videos with three full-height crops per frame (left, right, centre); three pickles per clip."""

from functools import partial

from common.console import answer_help, run_script
from opts import view_parser

if __name__ == "__main__":
    answer_help(view_parser(crops=3))  # before torch is loaded

from test_models_center_crop import main

if __name__ == "__main__":
    run_script(partial(main, crops=3))
