"""A bundle's acoustic model as an ONNX graph, for other runtimes and other programs."""

from speechlstm.types import UsageError

try:
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
except ImportError as error:
    raise UsageError(f"ONNX needs {error.name}: pip install 'speechlstm[onnx]'") from None

from speechlstm.model.export.convert import QUANTIZE, symbols, to_onnx

__all__ = ["QUANTIZE", "symbols", "to_onnx"]
