"""From official annotation files to class names and labelled clips; one file a family of data sets.

Pure functions: they read the annotation files and nothing else. `OFFICIAL` is the table of data sets.
"""

from collections.abc import Callable
from dataclasses import dataclass

from datasets.preparing.annotations.diving48 import parse_diving48
from datasets.preparing.annotations.egtea import parse_egtea
from datasets.preparing.annotations.files import AnnotationFiles, Annotations
from datasets.preparing.annotations.kinetics import parse_kinetics
from datasets.preparing.annotations.something import parse_jester, parse_somethingv1, parse_somethingv2
from datasets.preparing.annotations.ucf_hmdb import parse_hmdb51, parse_ucf101


@dataclass(frozen=True)
class Official:
    """A data set with official annotation files.

    Attributes:
        parse: reads the files.
        files: the names of the files.
        media: the names of its videos or frames.
        fold_case: whether videos are looked for whatever the case of their letters.
    """

    parse: Callable[[AnnotationFiles], Annotations]
    files: str
    media: str
    fold_case: bool = False


OFFICIAL = {
    "kinetics": Official(
        parse_kinetics, "train.csv validate.csv", "<class>/<youtube_id>_<start>_<end>.mp4, or without times"
    ),
    "somethingv1": Official(
        parse_somethingv1, "something-something-v1-{train,validation,labels}.csv", "frame folders <id>/"
    ),
    "somethingv2": Official(
        parse_somethingv2, "something-something-v2-{train,validation,labels}.json, newer: {train,...}.json", "<id>.webm"
    ),
    "diving48": Official(parse_diving48, "Diving48_V2_{train,test}.json Diving48_vocab.json", "<vid_name>.mp4"),
    "egtea": Official(parse_egtea, "action_idx.txt {train,test}_split{1,2,3}.txt", "<session>/<clip>.mp4"),
    "ucf101": Official(
        parse_ucf101, "classInd.txt {train,test}list0{1,2,3}.txt", "<class>/v_<class>_g<..>_c<..>.avi", fold_case=True
    ),
    "hmdb51": Official(parse_hmdb51, "<class>_test_split{1,2,3}.txt", "<class>/<video>.avi"),
    "jester": Official(parse_jester, "jester-v1-{train,validation,labels}.csv", "frame folders <id>/"),
}
