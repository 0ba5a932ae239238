"""The errors that emo-listen raises; each message says what is wrong and what to do.

Every error inherits `EmoListenError`, which the command line prints as one line on standard error
before it exits with code 2, and the matching built-in error.
"""


class EmoListenError(Exception):
    """Base class of all errors that emo-listen raises."""


class AudioFileError(EmoListenError, ValueError):
    """A file cannot be decoded as audio."""


class StorageError(AudioFileError):
    """A file cannot be read from object storage now; another attempt may succeed."""


class AudioInputError(EmoListenError, ValueError):
    """Samples cannot be used (wrong shape, too short, not finite), or a window or hop cannot."""


class DeviceError(EmoListenError, RuntimeError):
    """An audio device does not exist, is ambiguous, or does not respond."""


class ListenerError(EmoListenError, RuntimeError):
    """A listener was used twice."""


class ModelError(EmoListenError, ValueError):
    """A model folder does not exist, is incomplete, damaged, or not an audio classifier."""


class BaselineError(EmoListenError, ValueError):
    """A baseline does not exist, is damaged, or cannot be used with the model."""


class CorpusError(EmoListenError, ValueError):
    """Recordings or labels cannot be used for training or evaluation."""


class OutputError(EmoListenError, RuntimeError):
    """Results cannot be written: a port is in use, or another file is in the way."""


class ClusterError(EmoListenError, RuntimeError):
    """A Ray cluster cannot be reached, or a machine of it cannot analyse."""


class ServerError(EmoListenError, RuntimeError):
    """A server cannot be started: its address, certificate or token cannot be used."""


class DownloadError(EmoListenError, RuntimeError):
    """A file cannot be downloaded, or is not the one that its owners published."""


class MissingExtraError(EmoListenError, ImportError):
    """A library of an optional extra is not installed."""
