"""What training minimizes: CTC, also of lower layers, the agreement of two views of each utterance, and CTC-CRF.

The settings are explained in `conf/loss/`.
"""

from speechlstm.training.loss.crf import CrfLoss
from speechlstm.training.loss.ctc import CtcLoss, ctc_loss, disagreement

__all__ = ["CrfLoss", "CtcLoss", "ctc_loss", "disagreement"]
