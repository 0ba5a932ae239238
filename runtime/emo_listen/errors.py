"""Named errors, each saying what is wrong and what to do about it.

Every error inherits `EmoListenError`, which the command line turns into one line on
standard error and exit code 2, and the built-in error that a library user would catch.
"""


class EmoListenError(Exception):
    """Base of all errors that emo-listen raises on purpose."""


class AudioFileError(EmoListenError, ValueError):
    """A file that cannot be read as sound."""


class AudioInputError(EmoListenError, ValueError):
    """Samples that a model cannot take: wrong shape, too short, not finite."""


class DeviceError(EmoListenError, RuntimeError):
    """An audio device that is absent, ambiguous, or does not answer."""


class ListenerError(EmoListenError, RuntimeError):
    """A listener that has been used before: each listens once."""


class ModelError(EmoListenError, ValueError):
    """A model folder that is absent, incomplete, damaged, or not an audio classifier."""


class BaselineError(EmoListenError, ValueError):
    """A baseline that is absent, damaged, of another model, or of no use to this one."""


class CorpusError(EmoListenError, ValueError):
    """Recordings or labels that cannot be trained on."""


class OutputError(EmoListenError, RuntimeError):
    """A place for results that cannot be used: a port in use, another file in the way."""


class DownloadError(EmoListenError, RuntimeError):
    """A file that cannot be downloaded, or is not the one that its owners published."""


class MissingExtraError(EmoListenError, ImportError):
    """Something that needs a library which comes with an extra that is not installed."""
