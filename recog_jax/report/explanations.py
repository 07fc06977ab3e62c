"""Explanations as a page and as pictures: what a model saw, and what it used.

Colours are told apart by the colour-blind: cividis (Nuñez et al., 2018) where
there is only more or less, purple to orange (ColorBrewer) where some places
speak against an answer.
"""

import base64
import dataclasses
import html
import io
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from recog_jax.storage import AnyPath

# Of a map: above so many hundredths of its values all has the last colour.
_CLIP = 99.5
_LEGENDS = {
  True: ('PuOr_r', 'speaks against', 'speaks for'),
  False: ('cividis', 'not used', 'used most'),
}
_NAMES = {
  'completeness_gap': 'completeness gap',
  'near': 'saliency within 120 ms of the word',
  'deletion': 'deletion (low is good)',
  'insertion': 'insertion (high is good)',
  'randomised': 'rank correlation with mixed weights (0 is good)',
  'stability': 'stability (1 is best)',
}


@dataclasses.dataclass(frozen=True)
class Panel:
  """One map.

  Attributes:
    title: of the method, in words.
    map: float `h w`; of sound `t f`.
    signed: whether values below 0 speak against.
    numbers: what is known of it, by name.
    answer: what it explains: a class, a word.
    begin: of a word, in seconds.
    end: of a word.
  """

  title: str
  map: np.ndarray
  signed: bool
  numbers: Mapping[str, float]
  answer: str = ''
  begin: float = 0.0
  end: float = 0.0


@dataclasses.dataclass(frozen=True)
class Sheet:
  """What is shown of one file.

  Attributes:
    name: of the file.
    answer: what the model said.
    picture: uint8 `h w c`, or of sound the features, float `t f`.
    panels: its maps.
    words: of sound, (word, begin, end) in seconds.
    sound: (float32 `n` in -1..1, rate in Hz); None of pictures.
    step: of sound, seconds from frame to frame.
  """

  name: str
  answer: str
  picture: np.ndarray
  panels: Sequence[Panel]
  words: Sequence[tuple[str, float, float]] = ()
  sound: tuple[np.ndarray, int] | None = None
  step: float = 0.0

  @property
  def seconds(self) -> float:
    return len(self.picture) * self.step


def coloured(values: np.ndarray, *, signed: bool) -> np.ndarray:
  """uint8 `h w 3` of a map; grey-purple to orange, or dark blue to yellow."""
  values = np.nan_to_num(np.asarray(values, np.float64))
  most = np.percentile(np.abs(values), _CLIP) or np.abs(values).max() or 1.0
  low = -most if signed else 0.0
  share = np.clip((values - low) / (most - low), 0, 1)
  colours = matplotlib.colormaps[_LEGENDS[signed][0]](share)
  return np.rint(255 * colours[..., :3]).astype(np.uint8)


def _upright(values: np.ndarray) -> np.ndarray:
  """Frames `t f` as a picture: time to the right, low sounds at the bottom."""
  return np.asarray(values).T[::-1]


def _grey(frames: np.ndarray) -> np.ndarray:
  """uint8 `f t 3` of features: dark is loud."""
  low, high = np.percentile(frames, [1, 99.5])
  share = np.clip((_upright(frames) - low) / max(high - low, 1e-9), 0, 1)
  grey = np.rint(255 * (1 - share)).astype(np.uint8)
  return np.repeat(grey[..., None], 3, 2)


# -- the page -----------------------------------------------------------------


def page(sheets: Sequence[Sheet], title: str) -> str:
  """HTML that needs nothing else, neither files nor a network."""
  return document(title, articles(sheets))


def document(title: str, body: str, style: str = '') -> str:
  """HTML of its own, with a heading.

  Args:
    title: plain text.
    body: HTML.
    style: CSS beside `STYLE`.
  """
  return _PAGE.format(title=html.escape(title), style=STYLE + style, body=body)


def articles(sheets: Sequence[Sheet]) -> str:
  """The part of the page, with legends, that `STYLE` belongs to."""
  kinds = sorted({panel.signed for sheet in sheets for panel in sheet.panels})
  return '\n'.join([''.join(map(_legend, kinds)), *map(_article, sheets)])


def _legend(signed: bool) -> str:
  name, low, high = _LEGENDS[signed]
  colours = matplotlib.colormaps[name](np.linspace(0, 1, 9))
  stops = ', '.join(matplotlib.colors.to_hex(c) for c in colours)
  middle = '<span>nothing</span>' if signed else ''
  return (
    f'<div class=legend><i style="background:linear-gradient(90deg, {stops})">'
    f'</i><div><span>{low}</span>{middle}<span>{high}</span></div></div>'
  )


def _article(sheet: Sheet) -> str:
  head = (
    f'<h2>{html.escape(sheet.answer)} <small>{html.escape(sheet.name)}</small>'
    '</h2>'
  )
  if sheet.sound is None:
    first = _figure(_png(sheet.picture), 'the picture', '')
    rest = ''.join(
      _figure(
        _png(coloured(p.map, signed=p.signed)),
        f'{p.title} of {p.answer}',
        f'<b>{html.escape(p.title)}</b>{_numbers(p)}',
      )
      for p in sheet.panels
    )
    return f'<article>{head}<div class=row>{first}{rest}</div></article>'
  rows = ''.join(_word_row(sheet, p) for p in sheet.panels)
  return (
    f'<article>{head}<audio controls src="data:audio/wav;base64,'
    f'{_wav(*sheet.sound)}"></audio>'
    f'<div class=sound>{_image(_png(_grey(sheet.picture)), "spectrogram")}'
    f'{_words(sheet, None)}</div>{rows}</article>'
  )


def _word_row(sheet: Sheet, panel: Panel) -> str:
  what = f'{panel.title} of {panel.answer}'
  picture = _png(coloured(_upright(panel.map), signed=panel.signed))
  return (
    f'<h3>{html.escape(panel.answer)} <small>{html.escape(panel.title)}'
    f'</small></h3>{_numbers(panel)}<div class=sound>{_image(picture, what)}'
    f'{_words(sheet, panel)}</div>'
  )


def _words(sheet: Sheet, panel: Panel | None) -> str:
  """The words under their places; the one that is explained stands out."""
  spans = []
  total = max(sheet.seconds, 1e-9)
  for word, begin, end in sheet.words:
    own = panel is not None and (begin, word) == (panel.begin, panel.answer)
    left, width = 100 * begin / total, 100 * max(end - begin, 0.01) / total
    spans.append(
      f'<span{" class=own" if own else ""} style="left:{left:.2f}%;'
      f'width:{width:.2f}%" title="{begin:.2f} to {end:.2f} s">'
      f'{html.escape(word)}</span>'
    )
  return f'<div class=words>{"".join(spans)}</div>'


def _figure(png: bytes, alt: str, caption: str) -> str:
  return (
    f'<figure>{_image(png, alt)}<figcaption>{caption}</figcaption></figure>'
  )


def _image(png: bytes, alt: str) -> str:
  data = base64.b64encode(png).decode()
  return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


def _numbers(panel: Panel) -> str:
  rows = ''.join(
    f'<tr><td>{_NAMES[k]}<td class=n>{_value(k, panel.numbers)}'
    for k in _NAMES
    if k in panel.numbers
  )
  return f'<table>{rows}</table>' if rows else ''


def _value(name: str, numbers: Mapping[str, float]) -> str:
  value = numbers[name]
  if name in ('completeness_gap', 'near'):
    return f'{value:.1%}'
  text = f'{value:.2f}'
  others = [
    f'{end} {numbers[f"{name}_{end}"]:.2f}'
    for end in ('random', 'edges')
    if f'{name}_{end}' in numbers
  ]
  return f'{text} <small>({", ".join(others)})</small>' if others else text


def _png(image: np.ndarray) -> bytes:
  image = np.asarray(image)
  if image.shape[-1] == 3:
    image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
  return cv2.imencode('.png', image)[1].tobytes()


def _wav(samples: np.ndarray, rate: int) -> str:
  buffer = io.BytesIO()
  with wave.open(buffer, 'wb') as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    pcm = np.clip(np.rint(np.asarray(samples) * 32767), -32768, 32767)
    file.writeframes(pcm.astype('<i2').tobytes())
  return base64.b64encode(buffer.getvalue()).decode()


# -- pictures -----------------------------------------------------------------


def draw(path: AnyPath, sheet: Sheet) -> None:
  """Writes one PNG: what the model saw beside, or above, its maps."""
  figure = _draw_sound(sheet) if sheet.sound is not None else _draw_row(sheet)
  buffer = io.BytesIO()
  FigureCanvasAgg(figure).print_png(buffer)
  path.write_bytes(buffer.getvalue())


def _draw_row(sheet: Sheet) -> Figure:
  count = 1 + len(sheet.panels)
  columns = min(count, 5)
  rows = -(-count // columns)
  figure = Figure((2.6 * columns, 2.9 * rows + 0.5), layout='constrained')
  figure.suptitle(_plain(f'{sheet.answer}: {Path(sheet.name).name}'))
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for each in axes:
    each.axis('off')
  picture = np.asarray(sheet.picture)
  grey = picture.shape[-1] == 1
  shown = picture[..., 0] if grey else picture
  axes[0].imshow(shown, cmap='gray' if grey else None, vmin=0, vmax=255)
  axes[0].set_title('the picture', size=8)
  for each, panel in zip(axes[1:], sheet.panels, strict=False):
    _draw_map(figure, each, panel.map, panel)
    each.set_title(_plain(panel.title), size=8)
  return figure


def _draw_sound(sheet: Sheet) -> Figure:
  count = 1 + len(sheet.panels)
  figure = Figure((9, 1.6 * count + 0.6), layout='constrained')
  figure.suptitle(_plain(f'{sheet.answer}: {Path(sheet.name).name}'))
  axes = figure.subplots(count, 1, squeeze=False)[:, 0]
  place = (0, sheet.seconds, 0, sheet.picture.shape[1])
  axes[0].imshow(_grey(sheet.picture), aspect='auto', extent=place)
  for each, panel in zip(axes[1:], sheet.panels, strict=True):
    _draw_map(figure, each, _upright(panel.map), panel, place)
    each.set_title(_plain(f'{panel.answer}: {panel.title}'), size=8)
    each.axvspan(panel.begin, panel.end, fill=False, ec='0.3', lw=1)
  for each in axes:
    each.set(yticks=[])
    each.set_xticks(
      [(begin + end) / 2 for _, begin, end in sheet.words],
      [_plain(word) for word, *_ in sheet.words],
      size=8,
    )
  return figure


def _draw_map(figure, axes, values, panel, place=None):
  """A map with its legend; of sound `place` is where it lies on the axes."""
  colours = coloured(values, signed=panel.signed)
  axes.imshow(
    colours, aspect='equal' if place is None else 'auto', extent=place
  )
  name, low, high = _LEGENDS[panel.signed]
  scale = matplotlib.cm.ScalarMappable(cmap=name)
  bar = figure.colorbar(scale, ax=axes, fraction=0.05, pad=0.02)
  bar.set_ticks([0, 1])
  words = [low.split()[-1], high.split()[-1]] if panel.signed else ['0', 'most']
  bar.set_ticklabels(words, size=6)


def _plain(text: str) -> str:
  return text.replace('$', r'\$')


STYLE = """\
:root { color-scheme: light dark }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem;
  max-width: 90rem }
article { border-top: 1px solid #8884; padding: .6rem 0 }
h2 { font-size: 1.1rem; margin: .2rem 0; overflow-wrap: anywhere }
h3 { font-size: 1rem; margin: .9rem 0 .2rem }
small { color: #777; font-weight: normal }
.row { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; width: 210px }
img { display: block; width: 100%; image-rendering: pixelated }
table { width: 100%; border-spacing: 0; font-size: 12px }
.sound + table, h3 + table { width: auto }
td { vertical-align: top; padding-right: .6rem }
.n { text-align: right; font-variant-numeric: tabular-nums }
.sound { max-width: 60rem }
.sound img { height: 110px }
.words { position: relative; height: 1.5rem }
.words span { position: absolute; border-top: 2px solid #888;
  white-space: nowrap; text-align: center }
.words .own { font-weight: bold; border-top: 4px solid #d55e00 }
audio { display: block; margin: .4rem 0 }
.legend { display: inline-block; width: 18rem; margin: 0 2rem .6rem 0 }
.legend i { display: block; height: .8rem }
.legend div { display: flex; justify-content: space-between; font-size: 12px }
"""

_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>{title}</title>
<style>
{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
