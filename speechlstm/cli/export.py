"""Export a trained model to ONNX, for other programs and phones."""

from __future__ import annotations

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data.files import Outputs, folder_path, is_folder
from speechlstm.data.names import expanded
from speechlstm.model.bundle import load_bundle
from speechlstm.types import UsageError


@configs.main("export")
def main(cfg: DictConfig) -> int:
    """Write the model and its tokens, and say how large they are."""
    from speechlstm.model.export import symbols, to_onnx  # an extra

    bundle = load_bundle(cfg.bundle)
    out = expanded(cfg.out)
    if out.suffix == ".onnx" and not is_folder(cfg.out):
        path = out
    else:
        name = "model.onnx" if cfg.quantize == "none" else f"model.{cfg.quantize}.onnx"
        path = folder_path(out, "a folder, or end in .onnx") / name
    outputs = Outputs([*configs.reads(cfg), *bundle.path.iterdir()], cfg.overwrite)
    tokens = path.with_name("tokens.txt")
    for each in (path, tokens):
        outputs.check(each)  # now, not after the work
    listed = symbols(bundle.tokenizer)
    others = sorted(each.name for each in path.parent.glob("*.onnx") if each.name != path.name)
    if others and not cfg.overwrite and tokens.exists() and tokens.read_text(encoding="utf-8") != listed:
        raise UsageError(
            f"{tokens}: belongs to {others[0]}, a model with other tokens; give each model a folder of its own by out="
        )
    model = to_onnx(bundle, str(cfg.quantize))
    outputs.write(path, model)
    outputs.write(tokens, listed)
    rate, shift = bundle.model.sample_rate, bundle.model.frame_shift
    print(
        f"{path}: {bundle.name}, {len(model) / 1e6:.1f} MB; waveforms at {rate} Hz become log-probabilities of "
        f"{len(bundle.tokenizer)} tokens each {shift * 1000:g} ms\n{tokens}: the token of each column"
    )
    return 0
