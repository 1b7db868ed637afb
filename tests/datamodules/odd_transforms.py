"""Transforms that a user may have written, in a module that a worker imports without torch."""

import sys
import warnings

from datamodules import CropTransform


class Warning_(CropTransform):
    def __call__(self, image, mask, key):
        warnings.warn("frames are dark", UserWarning, stacklevel=1)
        return super().__call__(image, mask, key)


class Torn(CropTransform):
    def __call__(self, image, mask, key):
        raise EOFError("torn", [name for name in ("torch", "huggingface_hub") if name in sys.modules])


class Lost(CropTransform):
    def __reduce__(self):
        return __import__, ("nowhere",)
