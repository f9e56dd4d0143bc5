"""What went wrong and why: the errors of a recogniser as one static HTML page to look at, listen to and search."""

from speechlstm.evaluation.errorreport.analysis import analyse, by_interest, compared
from speechlstm.evaluation.errorreport.causes import Cause, examine
from speechlstm.evaluation.errorreport.comparison import Comparison, read_hypotheses
from speechlstm.evaluation.errorreport.page import render
from speechlstm.evaluation.errorreport.recording import embed, measure_snr

__all__ = [
    "Cause",
    "Comparison",
    "analyse",
    "by_interest",
    "compared",
    "embed",
    "examine",
    "measure_snr",
    "read_hypotheses",
    "render",
]
