"""What went wrong and why: the errors of a recognizer as one static HTML page to look at, listen to and search."""

from speechlstm.evaluation.errorreport.analysis import analyze, compared
from speechlstm.evaluation.errorreport.causes import Cause, examine
from speechlstm.evaluation.errorreport.comparison import Comparison, read_hypotheses
from speechlstm.evaluation.errorreport.page import render, report

__all__ = ["Cause", "Comparison", "analyze", "compared", "examine", "read_hypotheses", "render", "report"]
