"""What training minimizes: CTC, also of lower layers, and the agreement of two views of each utterance."""

from speechlstm.training.loss.ctc import CtcLoss, ctc_loss, disagreement

__all__ = ["CtcLoss", "ctc_loss", "disagreement"]
