"""An acoustic model as an ONNX file: waveforms in, log-probabilities out, in float32 or int8."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.export.encoder import add_encoder
from speechlstm.model.export.features import add_features
from speechlstm.model.export.graph import Graph
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import UsageError, __version__

QUANTIZE = ("none", "int8")
_ALL = 2**62  # samples: the length of who gives none


def to_onnx(bundle: Bundle, quantize: str = "none") -> bytes:
    """Return a bundle's acoustic model as the content of an ONNX file.

    Its inputs are `waveforms` `(batch, samples)` float32 and, where they differ, `lengths` `(batch,)` int64; its
    outputs are `log_probs` `(batch, frames, vocab)` and `frames` `(batch,)`. `quantize="int8"` stores the matrices of
    the encoder in 8 bits, and multiplies in them.

    Raises:
        UsageError: features or encoder have no counterpart in ONNX, or the encoder's cell none in int8.
    """
    if quantize not in QUANTIZE:
        raise UsageError(f"quantize is {quantize!r}, but must be one of {', '.join(QUANTIZE)}")
    encoder = bundle.config["encoder"]
    if quantize == "int8" and encoder.get("cell", "lstm") != "lstm":
        raise UsageError(f"quantize=int8 is for cell=lstm: there is no such operator for {encoder['cell']}")
    model = _model(bundle.model, len(bundle.tokenizer))
    about = {
        "model_type": f"speechlstm_{encoder.get('name')}_ctc",
        "name": bundle.name,
        "version": __version__,
        "sample_rate": bundle.model.sample_rate,
        "frame_shift": bundle.model.frame_shift,
        "subsampling_factor": bundle.model.encoder.subsampling,
        "vocab_size": len(bundle.tokenizer),
    }
    if quantize == "int8":
        about["onnx.quant.pre_process"] = "onnxruntime.quant"  # or it recommends to simplify the graph first
    helper.set_model_props(model, {key: str(value) for key, value in about.items()})
    onnx.checker.check_model(model)
    return model.SerializeToString() if quantize == "none" else _quantized(model)


def _model(acoustic: AcousticModel, vocab_size: int) -> onnx.ModelProto:
    graph = Graph()
    given = graph.constant([_ALL], "lengths")  # of a caller who gives none
    batch = graph("Shape", "waveforms", start=0, end=1)
    samples = graph.size("waveforms", 1)
    lengths = graph("Expand", graph("Max", graph("Min", given, samples), 0), batch)
    graph.scope = "features"
    features, frames = add_features(graph, acoustic.features, "waveforms", lengths)  # type: ignore[arg-type]
    graph.scope = "encoder"
    log_probs, frames = add_encoder(graph, acoustic.encoder, features, frames)
    info = helper.make_tensor_value_info
    inputs = [
        info("waveforms", TensorProto.FLOAT, ["batch", "samples"]),
        info("lengths", TensorProto.INT64, ["rows"]),
    ]
    outputs = [
        (log_probs, info("log_probs", TensorProto.FLOAT, ["batch", "frames", vocab_size])),
        (frames, info("frames", TensorProto.INT64, ["batch"])),
    ]
    return graph.model("speechlstm", inputs, outputs)


def _quantized(model: onnx.ModelProto) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # takes a second to import

    kept = [node.name for node in model.graph.node if not node.name.startswith("encoder/")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            model, path, op_types_to_quantize=["MatMul", "LSTM"], nodes_to_exclude=kept, per_channel=True,
            weight_type=QuantType.QUInt8,
        )  # fmt: skip
        return path.read_bytes()


def symbols(tokenizer: Tokenizer) -> str:
    """Return a model's tokens as the programs of Kaldi's descendants read them: `token id`, a line each.

    The blank is `<blk>`; a token that begins with a space begins with `▁`, as SentencePiece writes it.
    """
    names = ["<blk>"]
    for token in tokenizer.tokens[1:]:
        if token == tokenizer.separator and tokenizer.kind == "characters":
            names.append("▁")
        elif tokenizer.kind in ("words", "phones"):
            names.append(f"▁{token}")
        else:
            names.append(token)
    return "".join(f"{name} {number}\n" for number, name in enumerate(names))
