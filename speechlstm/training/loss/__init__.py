"""Training losses: CTC, optionally also on lower layers, and CTC-CRF.

The settings are explained in `conf/loss/`.
"""

from speechlstm.training.loss.crf import CrfLoss
from speechlstm.training.loss.ctc import CtcLoss, ctc_loss

__all__ = ["CrfLoss", "CtcLoss", "ctc_loss"]
