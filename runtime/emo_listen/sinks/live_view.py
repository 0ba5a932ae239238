"""State and layout of the live view; `live.py` puts it on the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from emo_listen.colours import OTHER_ON_TERMINAL, TERMINAL
from emo_listen.events import (
    Event,
    GapEvent,
    LabelEvent,
    ProvisionalEvent,
    SegmentEvent,
    StatusEvent,
    WarningEvent,
    WindowEvent,
)
from emo_listen.sinks.text import warning_text

LOWEST_LEVEL = -60.0
"""Level at the left end of the meter, in dB of full scale; the right end is 0."""

LOUD_LEVEL = -9.0
"""Level above which the meter turns yellow, in dB of full scale: peaks of speech are 9 to 15 dB
above its mean, so they clip."""

WARNING_SECONDS = 10.0
"""How long a warning is shown, in seconds of stream time."""

STALLED_SECONDS = 1.5
"""Time without an event after which the view says so, in seconds."""

HINT = "  Ctrl-C stops"
"""Shown in the last line if there is room."""

LINES_FOR_SEGMENTS = 4
"""Lines of the terminal that are kept for segments; if they do not fit, the bars are hidden."""

LIGHT_WIDTH = 21
"""Columns to the right of the meter, fixed so that its length does not change."""

LINES_BESIDE_BARS = 5
"""Maximum number of lines of the view, not counting its bars."""

LANE_WIDTH = 4
"""Columns for the number of a channel."""

NARROW = 60
"""Width below which the view leaves out details, in columns."""


@dataclass(frozen=True)
class LiveState:
    """Everything that the view shows."""

    status: StatusEvent | None = None
    """The latest status."""

    now: ProvisionalEvent | None = None
    """The provisional label of the current segment."""

    scores: dict[str, float] = field(default_factory=dict)
    """The latest probabilities, 0 to 1; empty while nobody speaks."""

    baseline_seconds: float = 0.0
    """Speech in the baseline of the latest label, in seconds."""

    gaps: int = 0
    """How often the device was unavailable."""

    overflows: int = 0
    """How often sound was lost because this machine was too slow."""

    lost: float = 0.0
    """Lost sound, in seconds."""

    warning: WarningEvent | None = None
    """The latest warning."""

    def after(self, event: Event) -> LiveState:
        """Return the state after `event`."""
        state = self
        if isinstance(event, LabelEvent):
            state = replace(state, baseline_seconds=event.baseline_seconds)
        match event:
            case StatusEvent():
                speaking = event.speech or state.now is not None
                return replace(state, status=event, scores=state.scores if speaking else {})
            case WindowEvent():
                return replace(state, scores=event.scores)
            case ProvisionalEvent():
                return replace(state, now=event, scores=event.scores)
            case SegmentEvent():
                return replace(state, now=None)
            case GapEvent(reason="device"):
                return replace(state, gaps=state.gaps + 1, lost=state.lost + event.seconds)
            case GapEvent():
                lost = state.lost + event.seconds
                return replace(state, overflows=state.overflows + 1, lost=lost)
            case WarningEvent():
                return replace(state, warning=event)


@dataclass(frozen=True)
class LiveView:
    """A state, laid out to the terminal's width and height."""

    state: LiveState
    title: str
    """Names of the source and the model."""

    labels: list[str]
    """The model's labels, in the order of their bars."""

    stalled: float = 0.0
    """Wall-clock time since the latest event, in seconds."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines no wider than the terminal."""
        width = options.max_width
        bars = list(self._bars(width))
        if console.size.height < len(bars) + LINES_FOR_SEGMENTS + LINES_BESIDE_BARS:
            bars = []
        lines = [self.head(width), self._meter(width), self._now(), *bars, self.foot(width)]
        warning = self._warning()
        for line in [*lines, *([warning] if warning else [])]:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
            yield line

    @property
    def _name_width(self) -> int:
        return max(len(label) for label in [*self.labels, "level"])

    def lane(self, channel: int, width: int) -> list[Text]:
        """Return the lines of one of several channels."""
        lines = [self._meter(width - LANE_WIDTH), self._now()]
        if warning := self._warning():
            lines.append(warning)
        names = [f"{channel:>{LANE_WIDTH - 2}}  ", *[" " * LANE_WIDTH] * (len(lines) - 1)]
        return [
            Text.assemble((name, "bold"), line) for name, line in zip(names, lines, strict=True)
        ]

    def head(self, width: int) -> Text:
        """Return the title and the time."""
        status = self.state.status
        clock = _clock(status.time if status else 0.0)
        title = Text(self.title, style="bold")
        title.truncate(max(0, width - len(clock) - 1), overflow="ellipsis")
        return Text.assemble(title, " " * (width - title.cell_len - len(clock)), (clock, "dim"))

    def _meter(self, width: int) -> Text:
        status = self.state.status
        if self.stalled > STALLED_SECONDS:
            light = Text(f"  ○ no sound for {self.stalled:.0f} s", "red")
        elif status is None:
            light = Text("  ○ waiting for sound", "dim")
        elif status.speech:
            light = Text("  ● speech", "bold green")
        else:
            light = Text("  ○ no speech", "dim")
        light.pad_right(LIGHT_WIDTH - light.cell_len)
        level = status.level if status else LOWEST_LEVEL
        share = 1 - max(LOWEST_LEVEL, min(level, 0.0)) / LOWEST_LEVEL
        numbers = f" {level:4.0f} dB" if width >= NARROW else ""
        length = width - self._name_width - 2 - len(numbers) - light.cell_len
        return Text.assemble(
            (f"{'level':<{self._name_width}}  ", "dim"),
            _bar(share, length, "yellow" if level > LOUD_LEVEL else "green"),
            (numbers, "dim"),
            light,
        )

    def _now(self) -> Text:
        name = (f"{'now':<{self._name_width}}  ", "dim")
        now, status = self.state.now, self.state.status
        if now is None:
            listening = status is not None and status.speech
            return Text.assemble(name, ("listening…" if listening else "-", "dim"))
        end = max(now.end, status.time if status else 0.0)
        return Text.assemble(
            name,
            (now.label, f"bold {TERMINAL.get(now.label, OTHER_ON_TERMINAL)}"),
            f"  {now.confidence:.0%}",
            (f"  for {end - now.start:.1f} s", "dim"),
        )

    def _bars(self, width: int) -> list[Text]:
        lines = []
        best = max(self.state.scores, key=self.state.scores.__getitem__, default=None)
        for label in self.labels:
            score = self.state.scores.get(label)
            colour = TERMINAL.get(label, OTHER_ON_TERMINAL)
            numbers = "     -" if score is None else f"  {score:4.0%}"
            lines.append(
                Text.assemble(
                    (f"{label:<{self._name_width}}  ", "bold" if label == best else "dim"),
                    _bar(score or 0.0, width - self._name_width - 2 - len(numbers), colour),
                    (numbers, "bold" if label == best else "dim"),
                )
            )
        return lines

    def foot(self, width: int, stream: LiveState | None = None) -> Text:
        """Return the state of the program; gaps are those of `stream`, or of this view's state."""
        state, status = stream or self.state, self.state.status
        parts = []
        if status:
            parts = [f"latency {status.latency * 1000:.0f} ms", f"load {status.load:.0%}"]
        if state.baseline_seconds:
            parts.append(f"baseline {state.baseline_seconds:.0f} s")
        if width >= NARROW or state.overflows:
            parts.append(f"overflows {state.overflows}")
        if width >= NARROW or state.gaps:
            parts.append(f"gaps {state.gaps}")
        if state.lost:
            parts.append(f"lost {state.lost:.1f} s")
        text = "  ".join(parts)
        if len(text) + len(HINT) <= width:
            text += HINT
        problem = state.lost or (status and status.load >= 1)
        return Text(text, "red" if problem else "dim")

    def _warning(self) -> Text | None:
        warning, status = self.state.warning, self.state.status
        if warning is None or (status and status.time > warning.time + WARNING_SECONDS):
            return None
        return Text(warning_text(warning), "yellow")


@dataclass(frozen=True)
class LanesView:
    """The states of several channels, in two lines for each."""

    states: dict[int, LiveState]
    """The state of each channel, from 1."""

    stream: LiveState
    """The gaps of the whole stream."""

    title: str
    """Names of the source and the model."""

    labels: list[str]
    """The model's labels."""

    stalled: float = 0.0
    """Wall-clock time since the latest event, in seconds."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines no wider than the terminal."""
        width = options.max_width
        views = {
            channel: LiveView(state, self.title, self.labels, self.stalled)
            for channel, state in sorted(self.states.items())
        }
        first = next(iter(views.values()), LiveView(self.stream, self.title, self.labels))
        lines = [first.head(width)]
        for channel, view in views.items():
            lines += view.lane(channel, width)
        lines.append(first.foot(width, self.stream))
        for line in lines:
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
            yield line


def _bar(share: float, length: int, colour: str) -> Text:
    """Return `length` characters, a `share` (0 to 1) of them filled."""
    length = max(length, 0)
    filled = round(share * length)
    return Text.assemble(("━" * filled, colour), ("─" * (length - filled), "bright_black"))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
