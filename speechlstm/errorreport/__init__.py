"""What went wrong and why: the errors of a recogniser as one static HTML page to look at, listen to and search."""

from speechlstm.errorreport.analysis import analyse, by_interest, compared
from speechlstm.errorreport.causes import Cause, examine
from speechlstm.errorreport.comparison import Comparison, read_hypotheses
from speechlstm.errorreport.page import render
from speechlstm.errorreport.recording import embed, measure_snr

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
