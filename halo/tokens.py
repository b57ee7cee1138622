"""Token windows: a text tokenized once and cut into windows that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from characterization.artifact import digest_bytes, digest_text
from halo.errors import ConfigError, ModelError
from halo.texts import read_text


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """How a text becomes windows.

    Attributes:
        window: tokens in each; windows do not overlap, so this is the stride too.
        windows: how many are taken, evenly spread over the text; 0 for all of them.
    """

    window: int = 256
    windows: int = 128

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: one is out of range.
        """
        if self.window < 2:
            raise ConfigError(f"window = {self.window}: a window needs at least 2 tokens, one to condition on.")
        if self.windows < 0:
            raise ConfigError(f"windows = {self.windows} must not be negative; 0 takes all.")


@dataclass(frozen=True, eq=False)
class TokenWindows:
    """Windows of one text and the protocol that made them.

    No special token is added: each window's first token is context only, and `window - 1` tokens are scored.

    Attributes:
        ids: int64 `[windows, window]`.
        text_bytes: UTF-8 bytes of the whole text; text_tokens: its tokens.
        text_digest: SHA-256 of the text.
    """

    ids: np.ndarray
    text_bytes: int
    text_tokens: int
    text_digest: str

    def __post_init__(self) -> None:
        """Make the tokens read-only."""
        self.ids.setflags(write=False)

    @property
    def digest(self) -> str:
        """The digest of the windows themselves."""
        return digest_bytes(np.ascontiguousarray(self.ids).tobytes() + repr(self.ids.shape).encode())

    @property
    def bytes_per_token(self) -> float:
        """Mean UTF-8 bytes of a token of this text; turns nats per token into bits per byte."""
        return self.text_bytes / self.text_tokens


def no_windows() -> TokenWindows:
    """Return the windows of no text: what a model that is quantized without data is calibrated on."""
    return TokenWindows(np.zeros((0, 0), np.int64), 0, 0, "none")


def cut_windows(tokenizer: Any, text: str, config: WindowConfig) -> TokenWindows:
    """Return windows of `text`, tokenized once as a whole and without special tokens.

    Raises:
        ModelError: the text is shorter than one window.
    """
    ids = np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int64)
    available = len(ids) // config.window
    if available == 0:
        raise ModelError(f"the text has {len(ids)} tokens, less than one window of {config.window}; give a longer one.")
    wanted = min(config.windows or available, available)
    starts = np.arange(wanted) * available // wanted
    whole = ids[: available * config.window].reshape(available, config.window)
    return TokenWindows(whole[starts].copy(), len(text.encode("utf-8")), len(ids), digest_text(text))


def read_windows(tokenizer: Any, path: Path, config: WindowConfig) -> TokenWindows:
    """Return windows of a text: UTF-8, JSON Lines or a dataset's folder (`halo.texts`).

    Raises:
        ModelError: there is no text, it is too short, or one token over and over.
    """
    text = read_text(path)
    try:
        windows = cut_windows(tokenizer, text, config)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if (windows.ids == windows.ids[0, 0]).all():
        token = tokenizer.decode(windows.ids[0, :1])
        raise ModelError(f"{path}: nothing but the token {token!r}, padding perhaps; give a text that says something.")
    return windows
