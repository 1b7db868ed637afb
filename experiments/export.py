"""A trained checkpoint as one file that needs none of this project: pixels in, probabilities out."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from datamodules import VideoReader, probe
from datamodules.files import write_atomically
from lightning_modules.base import BY_FRAME_HEAD, ForensicsModule

from .errors import ExperimentExistsError, ExperimentMissingError, ExperimentValueError
from .runs.checkpoints import read_checkpoint
from .runs.folder import RunFolder

TOLERANCE = 1e-4
"""How far a probability may be from the module's own; rounding commonly gives 1e-6."""

VIDEO_FRAMES = 8
NEEDED = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".pt2": ()}
"""Packages of the extra `export` that a kind of file needs, by suffix."""

Probabilities = Mapping[str, Tensor]


class Detector(nn.Module):
    """What is exported: a module's network between normalisation and probabilities.

    Args:
        module: A trained module.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: ForensicsModule) -> None:
        super().__init__()
        self.network = module.network
        self._predictions = module.predictions
        self.register_buffer("mean", torch.tensor(module.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(module.std)[:, None, None])

    def forward(self, image: Tensor) -> Probabilities:
        """Computes probabilities from RGB images.

        Args:
            image: float32 (B, 3, H, W), in [0, 1].

        Returns:
            `score` (B,), fake probability of each frame, and its log-odds `score_logit`, float64, to rank by; and, if
            there is a decoder, `mask` (B, H, W), forged probability of each pixel, and its log-odds `mask_logit`.
        """
        return outputs(*self._predictions(self.network((image - self.mean) / self.std)))


def outputs(mask_logit: Tensor | None, score_logit: Tensor) -> Probabilities:
    """Names what a module predicts, as `Detector` gives it."""
    score = score_logit.sigmoid().float()
    if mask_logit is None:
        return {"score": score, "score_logit": score_logit}
    return {"mask": mask_logit.sigmoid(), "score": score, "mask_logit": mask_logit, "score_logit": score_logit}


def load(checkpoint: Path) -> tuple[ForensicsModule, int]:
    """Restores a run's checkpoint; the `config.yaml` of its run says of which class and for which size.

    Args:
        checkpoint: `runs/<table>/<row>/seed<n>/checkpoints/<name>.ckpt`.

    Returns:
        The module, in evaluation mode, and the side of the square images it was trained on, in pixels.

    Raises:
        FileNotFoundError: There is no such checkpoint, or it does not lie in a run's folder.
    """
    if not checkpoint.is_file():
        raise ExperimentMissingError(
            f"{checkpoint} does not exist: give a run's checkpoint, such as "
            "runs/table-2/resnet50-joint/seed0/checkpoints/best.ckpt"
        )
    path = RunFolder(checkpoint.absolute().parents[1]).config
    if not path.is_file():
        raise ExperimentMissingError(
            f"{checkpoint} does not lie in a run's folder, whose config.yaml says what it holds: {path} does not exist"
        )
    read_checkpoint(checkpoint, "put a whole copy back, or train the row again")
    config = RunFolder(path.parent).read_config()
    package, _, name = config["model"]["class_path"].rpartition(".")
    kind: type[ForensicsModule] = getattr(importlib.import_module(package), name)
    module = kind.load_from_checkpoint(
        checkpoint, "cpu", weights_only=True, compile=False, channels_last=False, gradient_checkpointing=False
    )
    return module.eval(), config["data"]["init_args"]["size"]


def trace(module: ForensicsModule, size: int) -> ExportedProgram:
    """Records what a module computes, for batches of any number of images of one size.

    Args:
        module: In evaluation mode.
        size: Side of the images, in pixels. Decoders and encoders round it up and down to their strides, which cannot
            be recorded for sizes not known.
    """
    images = torch.rand(2, 3, size, size)  # of a batch of one, torch would record that it is one
    return torch.export.export(Detector(module).eval(), (images,), dynamic_shapes={"image": {0: Dim("batch")}})


def save(program: ExportedProgram, path: Path) -> None:
    """Writes an ONNX file or a `torch.export` file, by the suffix."""
    if path.suffix == ".pt2":
        torch.export.save(program, path)
        return
    names = list(program.module()(*program.example_inputs[0]))
    torch.onnx.export(
        program, f=path, dynamo=True, input_names=["image"], output_names=names, external_data=False, verbose=False
    )


def runner(path: Path) -> Callable[[Tensor], Probabilities]:
    """Loads an exported file, as someone without this project would."""
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(image: Tensor) -> Probabilities:
        found = session.run(None, {"image": image.numpy()})
        return {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}

    return run


def largest_difference(module: ForensicsModule, run: Callable[[Tensor], Probabilities], images: Tensor) -> float:
    """Compares probabilities with the module's own, on one image alone and on all together.

    Args:
        module: In evaluation mode.
        run: What was exported.
        images: (B, 3, H, W), in [0, 1].

    Returns:
        Largest absolute difference of any pixel or frame, log-odds compared as probabilities.
    """
    differences = []
    mean, std = (torch.tensor(values)[:, None, None] for values in (module.mean, module.std))
    for batch in (images[:1], images):
        with torch.inference_mode():
            own = outputs(*module.predictions(module((batch - mean) / std)))
            found = run(batch)
        for name, values in own.items():
            there = found[name]
            if name.endswith("_logit"):
                values, there = values.sigmoid(), there.sigmoid()
            differences.append((there - values).abs().max())
    return float(torch.stack(differences).max())


def random_images(size: int) -> Tensor:
    """Makes random images (8, 3, size, size) in [0, 1], from smooth colours to noise."""
    made = [F.interpolate(torch.rand(2, 3, side, side), size, mode="bilinear") for side in (2, 8, 32, size)]
    return torch.cat(made)


def video_images(path: Path, size: int) -> Tensor:
    """Reads frames spread over a video, squeezed to (B, 3, size, size), in [0, 1]."""
    if not path.is_file():
        raise ExperimentMissingError(f"--video is {path}, which does not exist")
    count = probe(path).frames
    chosen = sorted({i * count // VIDEO_FRAMES for i in range(VIDEO_FRAMES)})
    frames = [torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in VideoReader(path).read(chosen)]
    return torch.cat([F.interpolate(frame, (size, size), mode="bilinear", antialias=True) for frame in frames])


def export(arguments: Sequence[str]) -> None:
    """Writes a checkpoint as ONNX or `torch.export` files, each compared with the module before it gets its name.

    Args:
        arguments: See `--help`.

    Raises:
        FileExistsError: A file is there already.
        ValueError: A suffix is neither .onnx nor .pt2, a package is missing, or what was exported differs.
    """
    parser = argparse.ArgumentParser(
        "python -m experiments export", description="Writes a checkpoint for use elsewhere."
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="a run's .../checkpoints/best.ckpt")
    parser.add_argument(
        "--out", type=Path, nargs="+", required=True, help="NAME.onnx, NAME.pt2 (torch.export), or both"
    )
    parser.add_argument(
        "--video", type=Path, help="video with whose frames, too, the files are compared with the module"
    )
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="largest difference allowed (default 1e-4)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    options = parser.parse_args(arguments)
    for path in options.out:
        _check(path, options.overwrite)
    module, size = load(options.checkpoint)
    images = {"random images": random_images(size)}
    if options.video:
        images[f"frames of {options.video}"] = video_images(options.video, size)
    program = trace(module, size)
    for path in options.out:
        _write(path, program, module, images, options.tolerance)
    found = program.module()(images["random images"])
    named = ", ".join(f"{name} (B{', H, W' * name.startswith('mask')})" for name in found)
    print(
        f"input image (B, 3, {size}, {size}), float32 RGB in [0, 1]; outputs {named}: probabilities, and their log-odds"
    )
    point = module.point
    rule = "its own head" if point.decision == BY_FRAME_HEAD else f"the rule {point.decision!r} on its mask"
    print(
        f"validation chose: a pixel is forged from {point.pixel_threshold:.4g} (log-odds {point.pixel_logit:.4g}), a "
        f"frame fake above {point.frame_threshold:.4g} ({point.frame_logit:.4g}), a video above "
        f"{point.video_threshold:.4g} ({point.video_logit:.4g}; the mean of its frames); a frame's score is by {rule}"
    )


def _check(path: Path, overwrite: bool) -> None:
    if path.suffix not in NEEDED:
        raise ExperimentValueError(f"--out is {path}, wanted a name that ends in {' or '.join(NEEDED)}")
    missing = [package for package in NEEDED[path.suffix] if importlib.util.find_spec(package) is None]
    if missing:
        raise ExperimentValueError(
            f"{path} needs {', '.join(missing)}, not installed: pip install '.[export]', or export to .pt2"
        )
    if path.exists() and not overwrite:
        raise ExperimentExistsError(f"{path} exists: give another --out, or --overwrite to replace it")


def _write(
    path: Path, program: ExportedProgram, module: ForensicsModule, images: Mapping[str, Tensor], tolerance: float
) -> None:
    """Writes and compares under a passing name: what was there before is replaced by a good file only."""
    with write_atomically(path) as unfinished:
        save(program, unfinished)
        run = runner(unfinished)
        differences = {name: largest_difference(module, run, batch) for name, batch in images.items()}
        said = ", ".join(f"{value:.1e} on {len(images[name])} {name}" for name, value in differences.items())
        if not all(value <= tolerance for value in differences.values()):  # not so for NaN
            raise ExperimentValueError(
                f"{path} is not written, for it differs from the checkpoint by {said}: --tolerance allows {tolerance}"
            )
    print(f"wrote {path}: it differs from the checkpoint by at most {said}; --tolerance allows {tolerance}")
