"""Image corruptions at three strengths (Hendrycks and Dietterich, arXiv 1903.12261)."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

STRENGTHS = (1, 2, 3)  # from mild to strong
_NOISE = {1: 10, 2: 22, 3: 40}  # standard deviation, grey levels
_BLUR = {1: 0.008, 2: 0.014, 3: 0.024}  # Gaussian radius, share of the shorter side
_CONTRAST = {1: 0.6, 2: 0.4, 3: 0.2}  # share of the contrast that remains
_JPEG = {1: 30, 2: 12, 3: 6}  # quality


def noise(image: np.ndarray, strength: int, seed: int) -> np.ndarray:
    """Add Gaussian noise to an image, uint8 [h, w, 3]; the same noise for the same seed."""
    added = np.random.default_rng(seed).normal(0, _NOISE[strength], image.shape)
    return np.clip(np.rint(image + added), 0, 255).astype(np.uint8)


def blur(image: np.ndarray, strength: int, seed: int) -> np.ndarray:
    """Blur an image, uint8 [h, w, 3], with a Gaussian whose radius is relative to its size."""
    radius = _BLUR[strength] * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def contrast(image: np.ndarray, strength: int, seed: int) -> np.ndarray:
    """Lower the contrast of an image, uint8 [h, w, 3], around its mean grey."""
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(_CONTRAST[strength]))


def jpeg(image: np.ndarray, strength: int, seed: int) -> np.ndarray:
    """Compress an image, uint8 [h, w, 3], heavily as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=_JPEG[strength])
    return np.asarray(Image.open(stream))


KINDS = {"noise": noise, "blur": blur, "contrast": contrast, "jpeg": jpeg}


def corrupt(image: np.ndarray, kind: str, strength: int, seed: int) -> np.ndarray:
    """A corrupted copy of an image, uint8 [h, w, 3] or [h, w, 1]; `kind` is one of KINDS,
    `strength` one of STRENGTHS."""
    worse = KINDS[kind](image[..., 0] if image.shape[2] == 1 else image, strength, seed)
    return worse.reshape(image.shape)
